"""
Money to collect and money to give back.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

from django.db import models
from django.db.models import Q

from messaging.models import new_id


class PaymentIntentQuerySet(models.QuerySet["PaymentIntent"]):
    def locked(self, order_ids: Iterable[str]) -> list["PaymentIntent"]:
        """
        Fetch these orders' intents and hold them until the transaction ends, in one order for everybody.
        """
        return list(self.filter(order_id__in=list(order_ids)).select_for_update().order_by("order_id"))

    def write_back(self, intents: Iterable["PaymentIntent"]) -> None:
        """
        Store what changes beside the status of locked intents (an upsert, for a portable update of many rows).
        """
        fields = ["provider_reference", "withdrawn_at", "asks"]
        self.bulk_create(intents, update_conflicts=True, unique_fields=["id"], update_fields=fields)


class PaymentIntent(models.Model):
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
        """The gateway declined. Final."""
        CANCELLED = "cancelled"
        """Withdrawn, by us or for being overdue, and the gateway will not capture it. Final."""

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
    provider_reference = models.CharField(max_length=100, blank=True)
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

    @classmethod
    def move_to(cls, status: str, intents: Sequence["PaymentIntent"]) -> None:
        """
        Move these locked intents, each by a step that `TRANSITIONS` allows.

        :raises ForbiddenStep: if one of them may not become `status`, or has moved meanwhile.
        """
        sources = [source for source, targets in cls.TRANSITIONS.items() if status in targets]
        moved = cls.objects.filter(pk__in=[intent.pk for intent in intents], status__in=sources).update(status=status)
        if moved != len(intents):
            raise ForbiddenStep(f"{len(intents) - moved} of {len(intents)} payments may not become {status}.")
        for intent in intents:
            intent.status = status


class ForbiddenStep(Exception):
    """
    A state was asked for that `TRANSITIONS` does not allow from the present one; nothing was changed.
    """


class Refund(models.Model):
    """
    Money on its way back. Its id is the idempotency key of the call to the gateway.
    """

    class Status(models.TextChoices):
        PENDING = "pending"
        """Owed, and the gateway is or will be asked. -> succeeded, failed"""
        SUCCEEDED = "succeeded"
        """Given back. Final."""
        FAILED = "failed"
        """The gateway refused; its amount is free to be refunded again. Final."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    intent = models.ForeignKey(PaymentIntent, on_delete=models.PROTECT, related_name="refunds")
    amount = models.BigIntegerField(help_text="In minor units, such as pence.")
    status = models.CharField(max_length=10, choices=Status, default=Status.PENDING)
    reason = models.CharField(max_length=100, help_text="The customer reads it.")
    provider_reference = models.CharField(max_length=100, blank=True)
    requested_at = models.DateTimeField()
    settled_at = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="refund_amount_positive"),
            models.CheckConstraint(
                condition=Q(status="pending", settled_at__isnull=True)
                | (~Q(status="pending") & Q(settled_at__isnull=False)),
                name="refund_pending_until_settled",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.amount} of {self.intent_id}: {self.status}"
