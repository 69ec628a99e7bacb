from django.urls import path
from rest_framework.routers import SimpleRouter

from .api import PaymentViewSet, Webhook

app_name = "payments"

router = SimpleRouter()
router.register("payments", PaymentViewSet, basename="payment")
urlpatterns = [*router.urls, path("webhooks/payments/", Webhook.as_view(), name="webhook")]
