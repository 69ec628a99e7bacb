"""
Notifications of customers and operators, and their delivery to the provider.
"""

from typing import ClassVar

from django.db import models

from messaging.kernel.ids import new_id


class Notification(models.Model):
    class Kind(models.TextChoices):
        ORDER_CONFIRMED = "order_confirmed"
        ORDER_CANCELLED = "order_cancelled"
        PAYMENT_DUE_SOON = "payment_due_soon"
        PAYMENT_REFUNDED = "payment_refunded"
        PAYMENT_ANOMALY = "payment_anomaly"
        """For the operator."""

    class Channel(models.TextChoices):
        EMAIL = "email"

    class Status(models.TextChoices):
        SENDING = "sending"
        """Stored before the provider is called. -> accepted, suppressed"""
        ACCEPTED = "accepted"
        """Accepted by the provider. Final."""
        SUPPRESSED = "suppressed"
        """Not sent: it has no address, or is a reminder that is too late. Final."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    message_id = models.UUIDField(help_text="The event that caused it.")
    order_id = models.UUIDField(db_index=True)
    customer_id = models.CharField(
        max_length=64, blank=True, help_text="Owner; empty for events of releases without it."
    )
    kind = models.CharField(max_length=20, choices=Kind)
    channel = models.CharField(max_length=10, choices=Channel, default=Channel.EMAIL)
    recipient = models.EmailField(blank=True)
    status = models.CharField(max_length=10, choices=Status, default=Status.SENDING)
    subject = models.CharField(max_length=200)
    body = models.TextField()
    created_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["message_id", "channel", "recipient"], name="one_notification_per_message_and_recipient"
            )
        ]
        indexes: ClassVar = [models.Index(fields=["customer_id", "-id"], name="notifications_of_a_customer")]

    def __str__(self) -> str:
        return f"{self.kind} to {self.recipient or 'no address'}: {self.status}"
