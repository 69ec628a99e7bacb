"""
Payment intents, captures, refunds, and the webhooks that the gateway sent.
"""

from collections.abc import Iterable, Mapping
from typing import ClassVar

from django.db import models
from django.db.models import Exists, F, OuterRef, Q

from messaging.kernel.ids import new_id
from messaging.kernel.money import money
from messaging.kernel.state_machine import StateMachineModel


class PaymentIntentQuerySet(models.QuerySet["PaymentIntent"]):
    def locked(self, order_ids: Iterable[str]) -> list["PaymentIntent"]:
        """
        Lock these orders' intents until the transaction ends and return them. Every transaction locks in the same
        order, and locks an intent before it changes the intent's captures or refunds.
        """
        return list(self.filter(order_id__any=order_ids).select_for_update().order_by("order_id"))

    def order_numbers(self, order_ids: Iterable[str]) -> dict[str, str]:
        """
        Return the numbers of these orders by id, of those that have an intent.
        """
        rows = self.filter(order_id__in=list(order_ids)).values_list("order_id", "number")
        return {str(order_id): number for order_id, number in rows}

    def write_back(self, intents: Iterable["PaymentIntent"]) -> None:
        """
        Store the changes of locked intents other than their status, in one statement: an upsert, which works on both
        databases.
        """
        fields = ["provider_reference", "page", "failure_reason", "withdrawn_at", "asks"]
        self.bulk_create(intents, update_conflicts=True, unique_fields=["id"], update_fields=fields)


class PaymentIntent(StateMachineModel):
    """
    The amount that one order requests. Its id is the idempotency key of every call to the gateway.
    """

    class Status(models.TextChoices):
        CREATED = "created"
        """The gateway has not been called. -> processing, cancelled"""
        PROCESSING = "processing"
        """The gateway was called; the money may move at any moment. -> unknown, succeeded, failed, cancelled"""
        UNKNOWN = "unknown"
        """The gateway's answer was lost; it is queried again. -> processing, succeeded, failed, cancelled"""
        SUCCEEDED = "succeeded"
        """The money is captured. Final; giving it back is a refund."""
        FAILED = "failed"
        """The gateway declined, or captured another amount than requested. Final."""
        CANCELLED = "cancelled"
        """Withdrawn because the order was cancelled or the payment overdue. Final; money captured later is refunded."""

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
    customer_id = models.CharField(max_length=64, blank=True, help_text="Empty if an earlier release placed the order.")
    amount = models.BigIntegerField(help_text="In minor units, such as pence.")
    currency = models.CharField(max_length=3)
    payment_method = models.CharField(max_length=64)
    email = models.EmailField(blank=True)
    number = models.CharField(max_length=9, blank=True, default="", db_default="", help_text="The order's.")
    phone = models.CharField(max_length=16, blank=True, default="", db_default="")
    language = models.CharField(max_length=10, blank=True, default="", db_default="")
    status = models.CharField(max_length=10, choices=Status, default=Status.CREATED)
    gateway = models.CharField(max_length=200, blank=True, help_text="The dotted path of the adapter that opened it.")
    provider_reference = models.CharField(max_length=100, blank=True)
    page = models.CharField(
        max_length=500, blank=True, help_text="The address where the customer may still authorize the payment."
    )
    failure_reason = models.CharField(max_length=100, blank=True, help_text="The gateway's code for the failure.")
    withdrawn_at = models.DateTimeField(null=True, help_text="When the order no longer needed the payment.")
    asks = models.PositiveSmallIntegerField(default=0, help_text="Repeated queries to the gateway, made or scheduled.")
    created_at = models.DateTimeField()

    objects = PaymentIntentQuerySet.as_manager()

    class Meta:
        permissions = (("export_paymentintent", "Can export payments"),)
        constraints: ClassVar = [models.CheckConstraint(condition=Q(amount__gte=0), name="intent_amount_not_negative")]
        indexes: ClassVar = [
            models.Index(fields=["customer_id", "-id"], name="payments_of_a_customer"),
            models.Index(fields=["provider_reference"], name="payments_by_reference"),
            models.Index(fields=["id"], condition=Q(status="unknown"), name="unknown_payments"),
        ]

    def __str__(self) -> str:
        return f"{self.order_id}: {self.status}"

    @property
    def is_open(self) -> bool:
        return self.status in self.OPEN

    @property
    def is_wanted(self) -> bool:
        """
        Return whether its order still needs this payment.
        """
        return not self.withdrawn_at and (self.is_open or self.status == self.Status.SUCCEEDED)


class Capture(models.Model):
    """
    Captured money: one movement in the gateway's books. It is kept or refunded, as the order wants.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    intent = models.ForeignKey(PaymentIntent, on_delete=models.PROTECT, related_name="captures", db_index=False)
    reference = models.CharField(max_length=100, blank=True, help_text="The gateway's id.")
    amount = models.BigIntegerField(help_text="In minor units, such as pence.")
    currency = models.CharField(max_length=3)
    surplus = models.BooleanField(
        default=False, help_text="Not what the order requested: a duplicate, or another amount."
    )
    returned = models.BigIntegerField(default=0, help_text="Refunded or being refunded, in minor units.")
    captured_at = models.DateTimeField(help_text="When it was recorded.")

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="capture_amount_positive"),
            models.CheckConstraint(
                condition=Q(returned__gte=0) & Q(returned__lte=F("amount")), name="returned_within_capture"
            ),
            models.UniqueConstraint(fields=["intent", "reference"], name="one_capture_per_movement"),
            models.UniqueConstraint(fields=["intent"], condition=Q(surplus=False), name="one_capture_per_order"),
        ]
        indexes: ClassVar = [models.Index(fields=["reference"], name="captures_by_reference")]

    def __str__(self) -> str:
        return f"{money(self.amount, self.currency)} for {self.intent_id}"

    @property
    def refundable(self) -> int:
        """
        Return how many minor units have not gone back and are not on their way.
        """
        return self.amount - self.returned


class RefundQuerySet(models.QuerySet["Refund"]):
    def unrepeated(self) -> "RefundQuerySet":
        """
        Return the failed refunds whose money no later refund of the same capture gives back.
        """
        later = Refund.objects.filter(
            capture=OuterRef("capture"), amount__gte=OuterRef("amount"), pk__gt=OuterRef("pk")
        )
        return self.filter(~Exists(later), status=Refund.Status.FAILED)


class Refund(StateMachineModel):
    """
    An amount of a capture to give back. Its id is the idempotency key of the call to the gateway.
    """

    class Status(models.TextChoices):
        PENDING = "pending"
        """Requested; the gateway is or will be called. -> unknown, succeeded, failed"""
        UNKNOWN = "unknown"
        """The gateway's answer was lost; it is called again with the same key. -> succeeded, failed"""
        SUCCEEDED = "succeeded"
        """The money is refunded. Final."""
        FAILED = "failed"
        """The gateway refused; the amount is refundable again. Final."""

    class Cause(models.TextChoices):
        OPERATOR = "operator"
        """An operator requested it."""
        CANCELLED = "cancelled"
        """The order was cancelled, before it was paid or after."""
        LATE = "late"
        """The money was captured when the payment had ended without it."""
        DOUBLE = "double"
        """The order was paid a second time."""
        WRONG_AMOUNT = "wrong_amount"
        """Another amount or currency was captured than the order requested."""

    OPEN: ClassVar = frozenset({Status.PENDING, Status.UNKNOWN})
    TRANSITIONS: ClassVar[Mapping[str, frozenset[str]]] = {
        Status.PENDING: frozenset({Status.UNKNOWN, Status.SUCCEEDED, Status.FAILED}),
        Status.UNKNOWN: frozenset({Status.SUCCEEDED, Status.FAILED}),
        Status.SUCCEEDED: frozenset(),
        Status.FAILED: frozenset(),
    }

    BY_THE_SHOP: ClassVar = "by the shop"
    """The reason of a refund for which the operator wrote none."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    capture = models.ForeignKey(Capture, on_delete=models.PROTECT, related_name="refunds")
    amount = models.BigIntegerField(help_text="In minor units, such as pence.")
    status = models.CharField(max_length=10, choices=Status, default=Status.PENDING)
    reason = models.CharField(max_length=100, help_text="Shown to the customer.")
    cause = models.CharField(
        max_length=12, choices=Cause, blank=True, default="", db_default="", help_text="Empty from an earlier release."
    )
    failure_reason = models.CharField(max_length=100, blank=True, help_text="The gateway's code for the failure.")
    provider_reference = models.CharField(max_length=100, blank=True)
    requested_at = models.DateTimeField()
    settled_at = models.DateTimeField(null=True)

    objects = RefundQuerySet.as_manager()

    class Meta:
        permissions = (("export_refund", "Can export refunds"),)
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="refund_amount_positive"),
            models.CheckConstraint(
                condition=Q(status__in=["pending", "unknown"], settled_at__isnull=True)
                | (~Q(status__in=["pending", "unknown"]) & Q(settled_at__isnull=False)),
                name="refund_open_until_settled",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["provider_reference"], name="refunds_by_reference"),
            models.Index(fields=["id"], condition=Q(status="failed"), name="failed_refunds"),
        ]

    def __str__(self) -> str:
        return f"{money(self.amount, self.capture.currency)} of {self.capture_id}: {self.status}"


class WebhookEvent(models.Model):
    """
    A genuine webhook as received. The response to its sender says only that it was stored.
    """

    class Status(models.TextChoices):
        RECEIVED = "received"
        """Stored; the gateway will be queried about its payment. -> parked, disputed, settled"""
        PARKED = "parked"
        """It is about no payment of ours yet. -> settled, or a dead letter when its parking is over"""
        DISPUTED = "disputed"
        """It claims another amount than its order costs: a dead letter. -> settled, when an operator replays that"""
        SETTLED = "settled"
        """The gateway's answer about its payment is applied. Final."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    event_id = models.CharField(max_length=255, unique=True, help_text="The gateway's id.")
    body = models.BinaryField()
    fingerprint = models.CharField(max_length=64)
    conflicts = models.PositiveIntegerField(default=0, help_text="Later webhooks with this id and other content.")
    charge_key = models.CharField(max_length=100)
    order_id = models.UUIDField(null=True)
    reference = models.CharField(max_length=100, blank=True)
    outcome = models.CharField(max_length=10, help_text="As the webhook claims.")
    amount = models.BigIntegerField(help_text="As the webhook claims, in minor units.")
    currency = models.CharField(max_length=3, help_text="As the webhook claims.")
    status = models.CharField(max_length=10, choices=Status, default=Status.RECEIVED)
    received_at = models.DateTimeField()
    settled_at = models.DateTimeField(null=True)

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["charge_key"], name="webhooks_of_a_charge"),
            models.Index(fields=["order_id"], name="webhooks_of_an_order"),
            models.Index(
                fields=["status", "id"], condition=Q(status__in=["parked", "disputed"]), name="parked_or_disputed"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.event_id}: {self.outcome}, {self.status}"


class Reconciliation(models.Model):
    """
    The last hourly reconciliation with a gateway. While it is recent and confirmed our captures, webhooks of that
    gateway are trusted.
    """

    gateway = models.CharField(max_length=200, primary_key=True, help_text="The dotted path of the adapter.")
    began_at = models.DateTimeField()
    unconfirmed = models.PositiveIntegerField(help_text="Recorded captures that its statement does not confirm.")

    def __str__(self) -> str:
        return f"{self.gateway}: {self.unconfirmed} unconfirmed"


class GatewayCall(models.Model):
    """
    A call of the gateway about an order. It is written when the call ends, without waiting for the disk: a crash may
    lose the last ones. `prune` deletes them after the retention time of messages.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    order_id = models.UUIDField(db_index=True)
    name = models.CharField(max_length=40, help_text="What was asked for, such as charge.")
    outcome = models.CharField(max_length=11, help_text="The gateway's answer, or why there is none.")
    started_at = models.DateTimeField()
    milliseconds = models.PositiveIntegerField(help_text="How long it took.")

    def __str__(self) -> str:
        return f"{self.name}: {self.outcome} after {self.milliseconds} ms"
