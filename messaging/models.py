"""
The outbox: what was said (`OutboxMessage`), to whom it must be told (`Delivery`), and what went wrong (`Attempt`).
"""

from collections.abc import Collection
from datetime import datetime
from typing import ClassVar
from uuid import UUID

from django.db import models
from django.db.models import Exists, OuterRef, Q

from .kernel.ids import new_id

__all__ = ["Attempt", "Delivery", "OutboxMessage", "new_id"]  # migrations refer to `new_id` here

PRUNED_AT_ONCE = 500


class OutboxMessageQuerySet(models.QuerySet["OutboxMessage"]):
    def settled_before(self, moment: datetime) -> "OutboxMessageQuerySet":
        """
        Narrow to what was said and done before this moment: nobody waits for it, and nobody has to look at it.
        """
        unsettled = Q(status__in=[Delivery.Status.PENDING, Delivery.Status.DEAD]) | Q(delivered_at__gte=moment)
        deliveries = Delivery.objects.filter(unsettled, message=OuterRef("pk"))
        return self.filter(~Exists(deliveries), published_at__lt=moment)

    def prune(self, *, before: datetime) -> int:
        """
        Delete what was settled before this moment, its deliveries included, some at a time; return how many messages.
        """
        pruned = 0
        settled = self.settled_before(before).order_by("id").values_list("pk", flat=True)
        while ids := list(settled[:PRUNED_AT_ONCE]):
            self.filter(pk__in=ids).delete()
            pruned += len(ids)
        return pruned


class OutboxMessage(models.Model):
    """
    A published event, immutable, written in the transaction of the change that it announces.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    type = models.CharField(max_length=100)
    version = models.PositiveSmallIntegerField()
    key = models.CharField(max_length=100, db_index=True)
    payload = models.TextField()
    correlation_id = models.UUIDField(help_text="The message that began this story.")
    causation_id = models.UUIDField(null=True, help_text="The message whose handling published this one.")
    traceparent = models.CharField(max_length=55, blank=True, help_text="W3C trace context of the first request.")
    published_at = models.DateTimeField()

    objects = OutboxMessageQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.type} {self.key}"


class DeliveryQuerySet(models.QuerySet["Delivery"]):
    def due(self, now: datetime) -> "DeliveryQuerySet":
        """
        Narrow to what waits and whose moment has come.
        """
        return self.filter(status=Delivery.Status.PENDING, delivered_at=None, due_at__lte=now)

    def claimed_with(self, token: UUID) -> "DeliveryQuerySet":
        """
        Narrow to what the holder of this token may still settle.
        """
        return self.filter(status=Delivery.Status.PENDING, claim_token=token)

    def dead(self) -> "DeliveryQuerySet":
        return self.filter(status=Delivery.Status.DEAD)

    def matching(
        self,
        *,
        ids: Collection[int] = (),
        subscriber: str = "",
        event_type: str = "",
        error: str = "",
        since: datetime | None = None,
    ) -> "DeliveryQuerySet":
        """
        Narrow to what an operator asks for, by each of these that is given.

        :param error: the class of the last error.
        :param since: the moment from which on an attempt has failed.
        """
        asked = {"pk__in": ids, "subscriber": subscriber, "message__type": event_type, "error_class": error}
        found = self.filter(**{field: wish for field, wish in asked.items() if wish})
        if since is None:
            return found
        return found.filter(Exists(Attempt.objects.filter(delivery=OuterRef("pk"), failed_at__gte=since)))

    def replay(self, now: datetime) -> int:
        """
        Put dead letters back for their own subscriber, due at once and with fresh attempts; return how many.
        """
        return self.dead().update(
            status=Delivery.Status.PENDING, due_at=now, attempts=0, deferrals=0, claim_token=None, delayed=False
        )

    def discard(self) -> int:
        """
        Give dead letters up for good, on a person's word; return how many.
        """
        return self.dead().update(status=Delivery.Status.DISCARDED)


class Delivery(models.Model):
    """
    One message for one subscriber: the queue's entry and the inbox's record in a single row.

    A claim sets `claim_token`, counts the attempt and moves `due_at` to the end of the lease; so a delivery whose
    worker died becomes due again by itself.
    """

    class Status(models.TextChoices):
        PENDING = "pending"
        """Waits for `due_at`, or is claimed until then. -> delivered, dead"""
        DELIVERED = "delivered"
        """Took effect, in the same transaction as this status. Final."""
        DEAD = "dead"
        """Given up after its attempts or a permanent error; waits for a person. -> pending (replay), discarded"""
        DISCARDED = "discarded"
        """Given up by a person. Final."""

    id = models.BigAutoField(primary_key=True)
    message = models.ForeignKey(OutboxMessage, on_delete=models.CASCADE, related_name="deliveries", db_index=False)
    subscriber = models.CharField(max_length=100)
    key = models.CharField(max_length=100)
    status = models.CharField(max_length=10, choices=Status, default=Status.PENDING)
    due_at = models.DateTimeField()
    delayed = models.BooleanField(
        default=False, help_text="Published for later: it does not hold its key until it is tried."
    )
    suspect = models.BooleanField(default=False, help_text="A worker died with it: it is delivered alone.")
    attempts = models.PositiveSmallIntegerField(default=0)
    deferrals = models.PositiveSmallIntegerField(default=0)
    claim_token = models.UUIDField(null=True)
    delivered_at = models.DateTimeField(null=True)
    error_class = models.CharField(max_length=200, blank=True)
    fingerprint = models.CharField(max_length=16, blank=True, help_text="Equal for failures at the same place.")

    objects = DeliveryQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "deliveries"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["message", "subscriber"], name="one_delivery_per_subscriber"),
            models.CheckConstraint(
                condition=Q(status="delivered", delivered_at__isnull=False)
                | (~Q(status="delivered") & Q(delivered_at__isnull=True)),
                name="delivered_at_its_time",
            ),
        ]
        indexes: ClassVar = [
            # That it names `delivered_at` keeps PostgreSQL from using it to look for a key when it claims.
            models.Index(
                fields=["subscriber", "due_at"],
                condition=Q(status="pending", delivered_at=None),
                name="pending_by_due",
            ),
            models.Index(
                fields=["subscriber", "key", "id"],
                condition=Q(status="pending", delayed=False),
                name="pending_by_key",
            ),
            models.Index(fields=["subscriber", "error_class"], condition=Q(status="dead"), name="dead_letters"),
        ]

    def __str__(self) -> str:
        return f"{self.message_id} for {self.subscriber}: {self.status}"


class Attempt(models.Model):
    """
    A failed attempt and why it failed.
    """

    delivery = models.ForeignKey(Delivery, on_delete=models.CASCADE, related_name="failures")
    number = models.PositiveSmallIntegerField()
    failed_at = models.DateTimeField()
    error_class = models.CharField(max_length=200)
    error = models.TextField()
    traceback = models.TextField(help_text="The end of it, at most 8 KB.")

    def __str__(self) -> str:
        return f"attempt {self.number}: {self.error_class}"
