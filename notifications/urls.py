from django.urls import path
from rest_framework.routers import SimpleRouter

from .api import EmailWebhookView, NotificationViewSet, PreferencesView, SmsWebhookView

app_name = "notifications"

router = SimpleRouter()
router.register("notifications", NotificationViewSet, basename="notification")
urlpatterns = [
    *router.urls,
    path("notification-preferences/", PreferencesView.as_view(), name="preferences"),
    path("webhooks/email/", EmailWebhookView.as_view(), name="email-webhook"),
    path("webhooks/sms/", SmsWebhookView.as_view(), name="sms-webhook"),
]
