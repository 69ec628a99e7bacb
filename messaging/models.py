"""
The outbox: published events (`OutboxMessage`), one delivery per subscriber (`Delivery`), failed attempts (`Attempt`).
Beside it: the processes that deliver and receive (`Worker`), what others may know about them (`SubscriberPause`,
`ReceiverState`), and what operators decided (`Resolution`, `DeadLetterGroup`, `OperatorPause`).
"""

from collections.abc import Collection
from datetime import datetime
from typing import ClassVar
from uuid import UUID

from django.conf import settings
from django.db import connection, models
from django.db.models import Case, Exists, OuterRef, Q, Value, When

from .kernel.ids import new_id

__all__ = [
    "Attempt",
    "DeadLetterGroup",
    "Delivery",
    "OperatorPause",
    "OutboxMessage",
    "ReceiverState",
    "Resolution",
    "SubscriberPause",
    "Worker",
    "new_id",  # migrations refer to it here
]

PRUNE_CHUNK = 500

# A loose index scan: one step by index for each subscriber.
SUBSCRIBERS = """
    WITH RECURSIVE names (name) AS (
        SELECT min(subscriber) FROM messaging_delivery WHERE {condition}
        UNION ALL
        SELECT (SELECT min(subscriber) FROM messaging_delivery WHERE {condition} AND subscriber > names.name)
        FROM names WHERE names.name IS NOT NULL
    )
    SELECT name FROM names WHERE name IS NOT NULL
"""
IS_PENDING, IS_DEAD = "status = 'pending' AND delivered_at IS NULL", "status = 'dead'"
"""The conditions of the indexes that begin with the subscriber."""


class OutboxMessageQuerySet(models.QuerySet["OutboxMessage"]):
    def finished_before(self, moment: datetime) -> "OutboxMessageQuerySet":
        """
        Return the messages whose deliveries were all delivered before this moment, or are discarded.
        """
        unfinished = Q(status__in=[Delivery.Status.PENDING, Delivery.Status.DEAD]) | Q(delivered_at__gte=moment)
        deliveries = Delivery.objects.filter(unfinished, message=OuterRef("pk"))
        return self.filter(~Exists(deliveries), published_at__lt=moment)

    def prune(self, *, before: datetime) -> int:
        """
        Delete the messages finished before this moment and their deliveries, in chunks; return the number of messages.
        """
        pruned = 0
        finished = self.finished_before(before).order_by("id").values_list("pk", flat=True)
        while ids := list(finished[:PRUNE_CHUNK]):
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
    correlation_id = models.UUIDField(help_text="The first message of the chain of causes.")
    causation_id = models.UUIDField(null=True, help_text="The message whose handling published this one.")
    traceparent = models.CharField(
        max_length=55, blank=True, help_text="W3C trace context of the request that began it."
    )
    published_at = models.DateTimeField()

    objects = OutboxMessageQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.type} {self.key}"


class DeliveryQuerySet(models.QuerySet["Delivery"]):
    def due(self, now: datetime) -> "DeliveryQuerySet":
        """
        Return the pending deliveries that are due.
        """
        return self.filter(status=Delivery.Status.PENDING, delivered_at=None, due_at__lte=now)

    def claimed_with(self, token: UUID) -> "DeliveryQuerySet":
        """
        Return the deliveries whose claim has this token and is still valid.
        """
        return self.filter(status=Delivery.Status.PENDING, claim_token=token)

    def dead(self) -> "DeliveryQuerySet":
        return self.filter(status=Delivery.Status.DEAD)

    def dead_of(self, *, subscriber: str, error_class: str, fingerprint: str) -> "DeliveryQuerySet":
        """
        Return the dead letters of one group. Values may be empty.
        """
        return self.dead().filter(subscriber=subscriber, error_class=error_class, fingerprint=fingerprint)

    def matching(
        self,
        *,
        ids: Collection[int] = (),
        subscriber: str = "",
        event_type: str = "",
        error: str = "",
        fingerprint: str = "",
        since: datetime | None = None,
    ) -> "DeliveryQuerySet":
        """
        Return the deliveries that match all given filters.

        :param error: the class name of the last error.
        :param since: the last attempt failed at this moment or later.
        """
        filters = {
            "pk__in": ids,
            "subscriber": subscriber,
            "message__type": event_type,
            "error_class": error,
            "fingerprint": fingerprint,
            "failed_at__gte": since,
        }
        return self.filter(**{field: value for field, value in filters.items() if value})

    def replay(self, now: datetime, **changes: object) -> int:
        """
        Make dead letters pending again, due at once and with all their attempts; return how many.

        :param changes: further fields, or another `due_at`.
        """
        fresh: dict[str, object] = {"due_at": now, "attempts": 0, "deferrals": 0, "claim_token": None, "delayed": False}
        return self.dead().update(status=Delivery.Status.PENDING, **fresh | changes)

    def repeat(self, now: datetime) -> int:
        """
        Make delivered deliveries pending again, due at once; return how many. Only for subscribers whose effect may be
        repeated.
        """
        return self.filter(status=Delivery.Status.DELIVERED).update(
            status=Delivery.Status.PENDING, due_at=now, delivered_at=None, attempts=0, deferrals=0
        )

    def discard(self, **changes: object) -> int:
        """
        Discard dead letters for good; return how many.

        :param changes: further fields.
        """
        return self.dead().update(status=Delivery.Status.DISCARDED, **changes)


def subscribers_with(condition: str) -> list[str]:
    """
    Return the subscribers that have deliveries of this condition, however many deliveries those are.

    :param condition: `IS_PENDING` or `IS_DEAD`.
    """
    with connection.cursor() as cursor:
        cursor.execute(SUBSCRIBERS.format(condition=condition))
        return [name for (name,) in cursor.fetchall()]


class Delivery(models.Model):
    """
    One message for one subscriber: queue entry and inbox record in one row.

    A claim sets `claim_token`, counts the attempt and moves `due_at` to the end of the lease, so a delivery becomes due
    again if its worker dies.
    """

    class Status(models.TextChoices):
        PENDING = "pending"
        """Waits for `due_at`, or is claimed until then. -> delivered, dead"""
        DELIVERED = "delivered"
        """Took effect, in the same transaction as this status. Final."""
        DEAD = "dead"
        """Failed permanently or too often; an operator decides. -> pending (replay), discarded"""
        DISCARDED = "discarded"
        """Discarded by an operator. Final."""

    id = models.BigAutoField(primary_key=True)
    message = models.ForeignKey(OutboxMessage, on_delete=models.CASCADE, related_name="deliveries", db_index=False)
    subscriber = models.CharField(max_length=100)
    key = models.CharField(max_length=100)
    status = models.CharField(max_length=10, choices=Status, default=Status.PENDING)
    due_at = models.DateTimeField()
    delayed = models.BooleanField(
        default=False,
        help_text="Published for later: it delays no later message with its key before its first attempt.",
    )
    suspect = models.BooleanField(
        default=False,
        help_text="A worker died while handling it: it is delivered in a small batch, and alone if another dies.",
    )
    attempts = models.PositiveSmallIntegerField(default=0)
    deferrals = models.PositiveSmallIntegerField(default=0)
    claim_token = models.UUIDField(null=True)
    delivered_at = models.DateTimeField(null=True)
    error_class = models.CharField(max_length=200, blank=True)
    fingerprint = models.CharField(
        max_length=16, blank=True, help_text="Equal for errors of the same class and function."
    )
    failed_at = models.DateTimeField(null=True, help_text="When the last failed attempt ended.")
    resolution = models.UUIDField(null=True, help_text="The last replay or discard by an operator.")

    objects = DeliveryQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "deliveries"
        permissions = (("export_delivery", "Can export deliveries"),)
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["message", "subscriber"], name="one_delivery_per_subscriber"),
            models.CheckConstraint(
                condition=Q(status="delivered", delivered_at__isnull=False)
                | (~Q(status="delivered") & Q(delivered_at__isnull=True)),
                name="delivered_at_its_time",
            ),
        ]
        indexes: ClassVar = [
            # The condition on `delivered_at` keeps PostgreSQL from using this index for keys when it claims.
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
            models.Index(
                fields=["subscriber", "error_class", "fingerprint", "failed_at"],
                condition=Q(status="dead"),
                name="dead_letters_by_error",
            ),
            models.Index(
                fields=["resolution", "status"], condition=Q(resolution__isnull=False), name="deliveries_by_resolution"
            ),
            models.Index(
                fields=["delivered_at"], condition=Q(delivered_at__isnull=False), name="deliveries_by_their_end"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.message_id} for {self.subscriber}: {self.status}"


class Attempt(models.Model):
    """
    A failed attempt at a delivery, with its error.
    """

    delivery = models.ForeignKey(Delivery, on_delete=models.CASCADE, related_name="failures")
    number = models.PositiveSmallIntegerField()
    failed_at = models.DateTimeField()
    error_class = models.CharField(max_length=200)
    error = models.TextField()
    traceback = models.TextField(help_text="The last 8,000 characters.")

    def __str__(self) -> str:
        return f"attempt {self.number}: {self.error_class}"


class ResolutionQuerySet(models.QuerySet["Resolution"]):
    def finished_before(self, moment: datetime) -> "ResolutionQuerySet":
        """
        Return those of before this moment whose deliveries are pruned, or were resolved again.
        """
        deliveries = Delivery.objects.filter(resolution=OuterRef("pk"))
        return self.filter(~Exists(deliveries), resolved_at__lt=moment)


class Resolution(models.Model):
    """
    A replay or a discard of dead letters by an operator. `Delivery.resolution` has the id of the last one.
    """

    class Kind(models.TextChoices):
        REPLAY = "replay"
        DISCARD = "discard"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    kind = models.CharField(max_length=7, choices=Kind)
    resolved_at = models.DateTimeField()
    resolved_by = models.CharField(max_length=200, help_text="A username, or the user of the shell.")
    reason = models.CharField(max_length=500, blank=True)
    chosen = models.CharField(max_length=500, blank=True, help_text="By which filters; empty for all dead letters.")
    letters = models.PositiveIntegerField(default=0, help_text="How many dead letters it changed.")

    objects = ResolutionQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.get_kind_display()} of {self.letters} by {self.resolved_by}"


class DeadLetterGroup(models.Model):
    """
    What operators noted about the dead letters of a subscriber that died of the same error. Notes are in the admin's
    log. A group without a row has neither.
    """

    subscriber = models.CharField(max_length=100)
    error_class = models.CharField(max_length=200, blank=True)
    fingerprint = models.CharField(max_length=16, blank=True)
    assignee = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["subscriber", "error_class", "fingerprint"], name="one_row_per_group")
        ]

    def __str__(self) -> str:
        return f"{self.error_class or 'no error'} of {self.subscriber}"


class OperatorPause(models.Model):
    """
    A pause of a subscriber by an operator. Until it is removed, no worker claims deliveries of this subscriber.
    """

    subscriber = models.CharField(max_length=100, primary_key=True)
    reason = models.CharField(max_length=500)
    paused_by = models.CharField(max_length=200, help_text="A username, or the user of the shell.")
    paused_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.subscriber


class Worker(models.Model):
    """
    A process that runs a relay or a receiver, from its start until its clean end or until other workers notice its
    death.
    """

    number = models.AutoField(primary_key=True)
    host = models.CharField(max_length=255)
    process = models.PositiveIntegerField(help_text="The id of the process on its host.")
    started_at = models.DateTimeField()
    seen_at = models.DateTimeField(
        null=True, help_text="When it last recorded that it runs; none from a worker of older code."
    )
    end_requested_at = models.DateTimeField(
        null=True, help_text="When an operator requested that its cluster kills it."
    )

    def __str__(self) -> str:
        return f"{self.number}: process {self.process} on {self.host}"


class SubscriberPause(models.Model):
    """
    A pause of a subscriber in a worker, because the service that it calls is not available. It is over after `until`.
    """

    worker = models.ForeignKey(Worker, on_delete=models.CASCADE, related_name="pauses")
    subscriber = models.CharField(max_length=100)
    until = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["worker", "subscriber"], name="one_pause_per_worker_and_subscriber")
        ]

    def __str__(self) -> str:
        return f"{self.subscriber} in worker {self.worker_id}"


class ReceiverStateQuerySet(models.QuerySet["ReceiverState"]):
    def with_state(self, alive: Collection[int]) -> "ReceiverStateQuerySet":
        """
        Annotate each receiver with its `state`: its status, or `ReceiverState.DEAD`.

        :param alive: the numbers of the workers whose process is alive.
        """
        state = Case(When(worker__in=alive, then="status"), default=Value(ReceiverState.DEAD))
        return self.annotate(state=state)


class ReceiverState(models.Model):
    """
    The receiver of a worker, as it last recorded itself.
    """

    DEAD = "dead"
    """The state of a receiver whose process was killed, whatever its status is."""

    class Status(models.TextChoices):
        CONNECTING = "connecting"
        """It has started, and has not been connected yet."""
        CONNECTED = "connected"
        DISCONNECTED = "disconnected"
        """An error ended the connection, or there was none: it tries again at `retry_at`."""

    worker = models.OneToOneField(Worker, on_delete=models.CASCADE, primary_key=True, related_name="receiver")
    status = models.CharField(max_length=12, choices=Status)
    since = models.DateTimeField(help_text="When this status began.")
    received_at = models.DateTimeField(null=True, help_text="When the last set of messages was received.")
    set_size = models.PositiveIntegerField(default=0, help_text="The number of messages in that set.")
    error = models.TextField(blank=True, help_text="The last error, while disconnected.")
    retry_at = models.DateTimeField(null=True, help_text="When it connects again, while disconnected.")

    objects = ReceiverStateQuerySet.as_manager()

    class Meta:
        verbose_name = "receiver"

    def __str__(self) -> str:
        return f"receiver of worker {self.worker_id}"
