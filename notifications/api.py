"""
Notifications of the authenticated customer.
"""

from django.db.models import QuerySet
from rest_framework import serializers, viewsets

from shop.http.views import ShopView

from .models import Notification


class NotificationOutput(serializers.ModelSerializer[Notification]):
    url = serializers.HyperlinkedIdentityField(view_name="notifications:notification-detail")

    class Meta:
        model = Notification
        fields = (
            "url",
            "id",
            "order_id",
            "kind",
            "channel",
            "recipient",
            "status",
            "subject",
            "body",
            "created_at",
            "accepted_at",
        )


class NotificationViewSet(ShopView, viewsets.ReadOnlyModelViewSet[Notification]):
    """
    The notifications sent to you, with their text. A suppressed one was not sent: it had no address, or was too late.
    """

    serializer_class = NotificationOutput
    filterset_fields = ("order_id", "kind", "status")
    pages = {"list": "notifications/notifications.html"}

    def get_queryset(self) -> QuerySet[Notification]:
        return Notification.objects.filter(customer_id=str(self.request.user.pk))
