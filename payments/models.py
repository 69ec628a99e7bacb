"""
Money to collect, money that came, money to give back, and what the gateway called back with.
"""

from collections.abc import Iterable, Mapping
from typing import ClassVar
from uuid import UUID

from django.db import models
from django.db.models import F, Q

from messaging.kernel.ids import new_id
from messaging.kernel.money import money
from messaging.kernel.state_machine import StateMachineModel


def as_id(text: str) -> UUID | None:
    """
    Read an id of ours, if that is what a gateway tells.
    """
    try:
        return UUID(text)
    except ValueError:
        return None


class PaymentIntentQuerySet(models.QuerySet["PaymentIntent"]):
    def locked(self, order_ids: Iterable[str]) -> list["PaymentIntent"]:
        """
        Fetch these orders' intents and hold them until the transaction ends, in one order for everybody. Whoever moves
        an intent's captures or refunds holds the intent.
        """
        return list(self.filter(order_id__in=list(order_ids)).select_for_update().order_by("order_id"))

    def write_back(self, intents: Iterable["PaymentIntent"]) -> None:
        """
        Store what changes beside the status of locked intents (an upsert, for a portable update of many rows).
        """
        fields = ["provider_reference", "page", "failure_reason", "withdrawn_at", "asks"]
        self.bulk_create(intents, update_conflicts=True, unique_fields=["id"], update_fields=fields)


class PaymentIntent(StateMachineModel):
    """
    The money that one order asks for. Its id is the idempotency key of every call to the gateway.
    """

    class Status(models.TextChoices):
        CREATED = "created"
        """Nobody has asked the gateway yet."""
        PROCESSING = "processing"
        """The gateway was or is being asked; the money may move at any moment."""
        UNKNOWN = "unknown"
        """We asked, and do not know: the answer was lost. We ask again until we know."""
        SUCCEEDED = "succeeded"
        """The money is captured. Final; giving it back is a refund."""
        FAILED = "failed"
        """The gateway declined, or captured something else than was asked for. Final."""
        CANCELLED = "cancelled"
        """Withdrawn, by us or for being overdue. Final; money that comes all the same goes back."""

    OPEN: ClassVar = frozenset({Status.CREATED, Status.PROCESSING, Status.UNKNOWN})
    ENDS: ClassVar = frozenset({Status.SUCCEEDED, Status.FAILED, Status.CANCELLED})
    TRANSITIONS: ClassVar[Mapping[str, frozenset[str]]] = {
        Status.CREATED: frozenset({Status.PROCESSING, Status.CANCELLED}),
        Status.PROCESSING: ENDS | {Status.UNKNOWN},
        Status.UNKNOWN: ENDS | {Status.PROCESSING},
        Status.SUCCEEDED: frozenset(),
        Status.FAILED: frozenset(),
        Status.CANCELLED: frozenset(),
    }

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    order_id = models.UUIDField(unique=True)
    customer_id = models.CharField(
        max_length=64, blank=True, help_text="Whose it is; empty if an older release announced the order."
    )
    amount = models.BigIntegerField(help_text="In minor units, such as pence.")
    currency = models.CharField(max_length=3)
    payment_method = models.CharField(max_length=64)
    email = models.EmailField(blank=True)
    status = models.CharField(max_length=10, choices=Status, default=Status.CREATED)
    gateway = models.CharField(max_length=200, blank=True, help_text="The adapter by which it was opened.")
    provider_reference = models.CharField(max_length=100, blank=True)
    page = models.CharField(max_length=500, blank=True, help_text="Where the customer may still agree to pay.")
    failure_reason = models.CharField(max_length=100, blank=True, help_text="In the gateway's word.")
    withdrawn_at = models.DateTimeField(null=True, help_text="When the order stopped wanting this money.")
    asks = models.PositiveSmallIntegerField(default=0, help_text="How often we had to ask again, or will next.")
    created_at = models.DateTimeField()

    objects = PaymentIntentQuerySet.as_manager()

    class Meta:
        constraints: ClassVar = [models.CheckConstraint(condition=Q(amount__gte=0), name="intent_amount_not_negative")]
        indexes: ClassVar = [models.Index(fields=["customer_id", "-id"], name="payments_of_a_customer")]

    def __str__(self) -> str:
        return f"{self.order_id}: {self.status}"

    @property
    def is_open(self) -> bool:
        return self.status in self.OPEN

    @property
    def is_wanted(self) -> bool:
        """
        Tell whether its order still waits for this money, or has it.
        """
        return not self.withdrawn_at and (self.is_open or self.status == self.Status.SUCCEEDED)


class Capture(models.Model):
    """
    Money that came: one movement in the gateway's books. Whatever became of the order, it is here or it went back.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    intent = models.ForeignKey(PaymentIntent, on_delete=models.PROTECT, related_name="captures", db_index=False)
    reference = models.CharField(max_length=100, blank=True, help_text="The gateway's own name for it.")
    amount = models.BigIntegerField(help_text="In minor units, such as pence.")
    currency = models.CharField(max_length=3)
    surplus = models.BooleanField(default=False, help_text="Not what the order asked for: it came twice, or wrong.")
    returned = models.BigIntegerField(default=0, help_text="Of it, what went back or is on its way, in minor units.")
    captured_at = models.DateTimeField(help_text="When we learned of it.")

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="capture_amount_positive"),
            models.CheckConstraint(
                condition=Q(returned__gte=0) & Q(returned__lte=F("amount")), name="returned_within_capture"
            ),
            models.UniqueConstraint(fields=["intent", "reference"], name="one_capture_per_movement"),
            models.UniqueConstraint(fields=["intent"], condition=Q(surplus=False), name="one_capture_per_order"),
        ]

    def __str__(self) -> str:
        return f"{money(self.amount, self.currency)} for {self.intent_id}"

    @property
    def refundable(self) -> int:
        """
        Return how many minor units have not gone back and are not on their way.
        """
        return self.amount - self.returned


class Refund(StateMachineModel):
    """
    Money on its way back. Its id is the idempotency key of the call to the gateway.
    """

    class Status(models.TextChoices):
        PENDING = "pending"
        """Owed, and the gateway is or will be asked. -> unknown, succeeded, failed"""
        UNKNOWN = "unknown"
        """We asked, and do not know. We ask again by the same key until we know. -> succeeded, failed"""
        SUCCEEDED = "succeeded"
        """Given back. Final."""
        FAILED = "failed"
        """The gateway refused; its amount is free to be refunded again. Final."""

    OPEN: ClassVar = frozenset({Status.PENDING, Status.UNKNOWN})
    TRANSITIONS: ClassVar[Mapping[str, frozenset[str]]] = {
        Status.PENDING: frozenset({Status.UNKNOWN, Status.SUCCEEDED, Status.FAILED}),
        Status.UNKNOWN: frozenset({Status.SUCCEEDED, Status.FAILED}),
        Status.SUCCEEDED: frozenset(),
        Status.FAILED: frozenset(),
    }

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    capture = models.ForeignKey(Capture, on_delete=models.PROTECT, related_name="refunds")
    amount = models.BigIntegerField(help_text="In minor units, such as pence.")
    status = models.CharField(max_length=10, choices=Status, default=Status.PENDING)
    reason = models.CharField(max_length=100, help_text="The customer reads it.")
    failure_reason = models.CharField(max_length=100, blank=True, help_text="In the gateway's word.")
    provider_reference = models.CharField(max_length=100, blank=True)
    requested_at = models.DateTimeField()
    settled_at = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="refund_amount_positive"),
            models.CheckConstraint(
                condition=Q(status__in=["pending", "unknown"], settled_at__isnull=True)
                | (~Q(status__in=["pending", "unknown"]) & Q(settled_at__isnull=False)),
                name="refund_open_until_settled",
            ),
        ]

    def __str__(self) -> str:
        return f"{money(self.amount, self.capture.currency)} of {self.capture_id}: {self.status}"


class WebhookEvent(models.Model):
    """
    A genuine webhook as it came. That it is here is all that its sender was told.
    """

    class Status(models.TextChoices):
        RECEIVED = "received"
        """Stored; the payment that it means will be asked about. -> parked, disputed, settled"""
        PARKED = "parked"
        """It means no payment of ours yet. -> settled, or a dead letter when the parking is over"""
        DISPUTED = "disputed"
        """It claims another amount than its order costs: a dead letter. -> settled, when a person replays that"""
        SETTLED = "settled"
        """Our books have what the gateway says of its payment. Final."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    event_id = models.CharField(max_length=255, unique=True, help_text="The gateway's.")
    body = models.BinaryField()
    fingerprint = models.CharField(max_length=64)
    conflicts = models.PositiveIntegerField(default=0, help_text="How often something else came under this id.")
    charge_key = models.CharField(max_length=100)
    order_id = models.UUIDField(null=True)
    reference = models.CharField(max_length=100, blank=True)
    outcome = models.CharField(max_length=10, help_text="As claimed.")
    amount = models.BigIntegerField(help_text="As claimed, in minor units.")
    currency = models.CharField(max_length=3, help_text="As claimed.")
    status = models.CharField(max_length=10, choices=Status, default=Status.RECEIVED)
    received_at = models.DateTimeField()
    settled_at = models.DateTimeField(null=True)

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["charge_key"], name="webhooks_of_a_charge"),
            models.Index(fields=["order_id"], name="webhooks_of_an_order"),
        ]

    def __str__(self) -> str:
        return f"{self.event_id}: {self.outcome}, {self.status}"
