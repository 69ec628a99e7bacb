from django.urls import path
from rest_framework.routers import SimpleRouter

from .api import PaymentViewSet, WebhookView

app_name = "payments"

router = SimpleRouter()
router.register("payments", PaymentViewSet, basename="payment")
urlpatterns = [*router.urls, path("webhooks/payments/", WebhookView.as_view(), name="webhook")]
