"""
Notifications of customers and operators, and what became of each.
"""

from collections.abc import Mapping
from typing import ClassVar

from django.db import models
from django.db.models import Q

from messaging.kernel.ids import new_id
from messaging.kernel.state_machine import StateMachineModel


class Notification(StateMachineModel):
    """
    One message to one recipient over one channel, with the text that is sent. Its id is part of the Message-ID of every
    attempt to send it.
    """

    class Kind(models.TextChoices):
        ORDER_RECEIVED = "order_received"
        ORDER_CONFIRMED = "order_confirmed"
        OUT_OF_STOCK = "out_of_stock"
        PAYMENT_FAILED = "payment_failed"
        PAYMENT_DUE_SOON = "payment_due_soon"
        ORDER_EXPIRED = "order_expired"
        ORDER_CANCELLED = "order_cancelled"
        """Cancelled by customer or operator; stored by an earlier release, for any reason."""
        PAYMENT_REFUNDED = "payment_refunded"
        PASSWORD_RESET = "password_reset"  # noqa: S105  (a kind)
        """The link by which a customer sets a new password."""
        PASSWORD_CHANGED = "password_changed"  # noqa: S105
        SIGN_UP = "sign_up"
        """The link by which someone confirms an e-mail address and signs up."""
        ACCOUNT_EXISTS = "account_exists"
        """To someone who signed up with the address of an account."""
        PAYMENT_ANOMALY = "payment_anomaly"
        """For the operator."""
        DEAD_LETTER = "dead_letter"
        """For the operator."""
        CAP_REACHED = "cap_reached"
        """For the operator."""
        AUDIT_VIOLATION = "audit_violation"
        """For the operator."""

    class Channel(models.TextChoices):
        EMAIL = "email"
        SMS = "sms"

    class Status(models.TextChoices):
        QUEUED = "queued"
        """To be sent, for the first time or again because an operator asked for it. -> sending, suppressed"""
        SENDING = "sending"
        """The provider is being called, or has not accepted it yet. -> accepted, failed, bounced, unknown, delivered"""
        UNKNOWN = "unknown"
        """The connection ended after the text was sent: it may have been accepted. -> sending, or what is reported"""
        ACCEPTED = "accepted"
        """Accepted by the provider. -> delivered, bounced; queued, by an operator"""
        DELIVERED = "delivered"
        """The provider reported its delivery. -> bounced; queued, by an operator"""
        BOUNCED = "bounced"
        """The mailbox or number does not exist, or rejected it. -> queued, by an operator"""
        FAILED = "failed"
        """The provider rejected it, or it was not accepted while it was useful. -> queued, by an operator"""
        SUPPRESSED = "suppressed"
        """Not sent, for its reason. -> queued, by an operator"""

    class Reason(models.TextChoices):
        """Why it was suppressed, failed or bounced."""

        NO_ADDRESS = "no_address"
        TOO_LATE = "too_late"
        """Its order had ended, or its time had passed."""
        SWITCHED_OFF = "switched_off"
        """The customer does not want this kind by this channel."""
        LISTED = "listed"
        """The recipient is on the suppression list."""
        RECIPIENT_CAP = "recipient_cap"
        """The recipient had got as many as are allowed within an hour."""
        TOTAL_CAP = "total_cap"
        """All recipients together had."""
        REPEATED = "repeated"
        """The operator was alerted of the same lately."""
        ERASED = "erased"
        """The contact data of its recipient were erased."""
        NO_MAILBOX = "no_mailbox"
        REJECTED = "rejected"

    UNSENT: ClassVar = frozenset({Status.QUEUED, Status.SENDING, Status.UNKNOWN})
    """To be sent, or sent again."""
    SENT: ClassVar = frozenset({Status.ACCEPTED, Status.DELIVERED, Status.BOUNCED})
    """Accepted once, whatever the provider reported later."""
    ABOUT_ACCOUNTS: ClassVar = frozenset(
        {Kind.PASSWORD_RESET, Kind.PASSWORD_CHANGED, Kind.SIGN_UP, Kind.ACCOUNT_EXISTS}
    )
    """Not about orders: told by e-mail only, and always."""
    FOR_OPERATOR: ClassVar = frozenset({Kind.PAYMENT_ANOMALY, Kind.DEAD_LETTER, Kind.CAP_REACHED, Kind.AUDIT_VIOLATION})
    TRANSITIONS: ClassVar[Mapping[str, frozenset[str]]] = {
        Status.QUEUED: frozenset({Status.SENDING, Status.SUPPRESSED}),
        Status.SENDING: SENT | {Status.FAILED, Status.UNKNOWN},
        Status.UNKNOWN: SENT | {Status.SENDING, Status.QUEUED},
        Status.ACCEPTED: frozenset({Status.DELIVERED, Status.BOUNCED, Status.QUEUED}),
        Status.DELIVERED: frozenset({Status.BOUNCED, Status.QUEUED}),
        Status.BOUNCED: frozenset({Status.QUEUED}),
        Status.FAILED: frozenset({Status.QUEUED}),
        Status.SUPPRESSED: frozenset({Status.QUEUED}),
    }

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    message_id = models.UUIDField(help_text="The event that caused it; its own id if none did.")
    order_id = models.UUIDField(null=True, db_index=True, help_text="Empty if it is about no order.")
    number = models.CharField(max_length=9, blank=True, default="", db_default="", help_text="The order's.")
    customer_id = models.CharField(
        max_length=64, blank=True, help_text="Owner; empty for events of releases without it."
    )
    kind = models.CharField(max_length=20, choices=Kind)
    link_id = models.UUIDField(
        null=True,
        help_text="Of the one-time link in the text. Its token is added to what is sent, and not stored.",
    )
    topic = models.CharField(
        max_length=120,
        blank=True,
        default="",
        db_default="",
        help_text="What alerts have in common of which one an hour is sent: subscriber and error.",
    )
    channel = models.CharField(max_length=10, choices=Channel, default=Channel.EMAIL)
    recipient = models.CharField(
        max_length=254, blank=True, help_text="An e-mail address, or a phone number in E.164 form."
    )
    language = models.CharField(max_length=10, blank=True, default="", db_default="")
    status = models.CharField(max_length=10, choices=Status, default=Status.QUEUED)
    reason = models.CharField(max_length=20, choices=Reason, blank=True, default="", db_default="")
    error = models.CharField(
        max_length=500, blank=True, default="", db_default="", help_text="Of the last attempt, without addresses."
    )
    provider_id = models.CharField(
        max_length=200, blank=True, default="", db_default="", help_text="The provider's id of it."
    )
    attempts = models.PositiveIntegerField(default=0, db_default=0, help_text="Calls of the provider.")
    subject = models.CharField(max_length=200, blank=True)
    body = models.TextField()
    html = models.TextField(blank=True, default="", db_default="")
    created_at = models.DateTimeField()
    useful_until = models.DateTimeField(null=True, help_text="It is not sent later; empty from an earlier release.")
    tried_at = models.DateTimeField(null=True, help_text="The last attempt.")
    accepted_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True, help_text="When it was delivered, bounced, failed or suppressed.")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["message_id", "channel", "recipient"], name="one_notification_per_message_and_recipient"
            )
        ]
        indexes: ClassVar = [
            models.Index(fields=["customer_id", "-id"], name="notifications_of_a_customer"),
            models.Index(fields=["topic", "created_at"], condition=~Q(topic=""), name="alerts_of_a_topic"),
            # Without those that caps hold back: a fault may queue any number of them to one recipient.
            models.Index(
                fields=["recipient", "created_at"],
                condition=~Q(reason="recipient_cap") & ~Q(reason="total_cap"),
                name="notifications_to_a_recipient",
            ),
            models.Index(fields=["provider_id"], condition=~Q(provider_id=""), name="notifications_of_provider"),
            models.Index(
                fields=["status", "id"], condition=Q(status__in=["failed", "bounced"]), name="failed_notifications"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.channel} {self.kind}: {self.status}"  # without its recipient: the admin's log keeps it


class Suppression(models.Model):
    """
    A recipient to whom nothing more is sent over one channel, until an operator lifts the entry by deleting it.
    """

    class Reason(models.TextChoices):
        BOUNCED = "bounced"
        """The mailbox or number does not exist."""
        COMPLAINED = "complained"
        """The recipient reported a message as spam."""
        UNSUBSCRIBED = "unsubscribed"
        """The recipient objected to the provider, such as by answering STOP."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    channel = models.CharField(max_length=10, choices=Notification.Channel)
    recipient = models.CharField(max_length=254, help_text="An e-mail address in lower case, or a phone number.")
    reason = models.CharField(max_length=12, choices=Reason)
    created_at = models.DateTimeField()
    notification = models.ForeignKey(Notification, models.SET_NULL, null=True, help_text="What caused the entry.")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["recipient", "channel"], name="one_suppression_per_recipient_and_channel")
        ]

    def __str__(self) -> str:
        return f"{self.channel} {self.reason} {self.pk}"  # without its recipient: the admin's log keeps it


class QueuedInMinute(models.Model):
    """
    How many notifications were queued in a minute. Each row is used again after an hour.
    """

    minute = models.PositiveSmallIntegerField(primary_key=True, help_text="Of the hour.")
    began_at = models.DateTimeField()
    number = models.PositiveIntegerField()

    def __str__(self) -> str:
        return f"{self.number} since {self.began_at}"


class Preference(models.Model):
    """
    Whether a customer wants a kind of notification over a channel. Stored if it differs from the default.
    """

    customer_id = models.CharField(max_length=64)
    kind = models.CharField(max_length=20, choices=Notification.Kind)
    channel = models.CharField(max_length=10, choices=Notification.Channel)
    is_on = models.BooleanField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["customer_id", "kind", "channel"], name="one_preference_of_a_customer")
        ]

    def __str__(self) -> str:
        return f"{self.channel} {self.kind} of customer {self.customer_id}: {'on' if self.is_on else 'off'}"
