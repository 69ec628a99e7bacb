"""
Dead letters for operators: groups by error, and what an operator does with them. The admin and the commands use it.

A replay or a discard changes `CHUNK` dead letters in a transaction, so it may be killed and repeated. It is recorded as
a `Resolution`, which its deliveries keep: `result_of` counts what has become of them since.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

import msgspec
from django.db import connection, transaction
from django.db.models import Case, Count, DateTimeField, Max, Min, Q, Value, When

from . import wakeup
from .contracts import event_types
from .erasure import CONTACT
from .inbox import RECEIVE, UNDECODABLE
from .kernel.databases import read_moment
from .kernel.redaction import redact
from .models import IS_DEAD, Delivery, DeliveryQuerySet, Resolution, subscribers_with
from .subscribers import all_subscribers, subscribers_of

CHUNK = 500
MOST_COUNTED = 1_000
"""Pages count no further, so that their cost does not depend on the number of dead letters."""

BY_GROUP = ("subscriber", "error_class", "fingerprint", "failed_at")
"""The order of the index: the first of any number of dead letters are read without sorting all."""

POLL_SECONDS = 0.2
PAYLOAD_CHARACTERS = 8_000

OTHER_ADVICE = "Read the traceback and remove the cause, then replay. Discard what must never be delivered."
ADVICE = {
    "PaymentUnknown": "The gateway never returned the state of a payment. Look it up there by the payment's id, then"
    " replay: it is queried once more.",
    "WebhookUnmatched": "A webhook concerns no payment of ours. Look up its reference at the gateway, run"
    " reconcile_payments, then discard it.",
    "WebhookDisputed": "A webhook states another amount than its order costs. Replay after the gateway was queried at"
    " the end of the payment's time: then it succeeds.",
    "ReservationNotHeld": "A confirmed order has no stock. Trace the order before you replay.",
    "Undecodable": "A message of newer code. Deploy that code, then replay.",
    "WorkerDied": "Every worker that claimed the delivery died. Check memory and handler limits, then replay.",
    "Unavailable": "An external service stayed down for too long. Replay when it is back.",
    "PartlyUnavailable": "An external service stayed down for too long. Replay when it is back.",
}
"""What to do, by the class of the error: see the section on dead letters in docs/how-to/operations.md."""

# A loose index scan: one step by index for each group, then a bounded count. Neither reads all dead letters.
GROUPS = f"""
    WITH RECURSIVE heads (id) AS (
        SELECT * FROM (
            SELECT id FROM messaging_delivery WHERE status = 'dead'
            ORDER BY subscriber, error_class, fingerprint, failed_at LIMIT 1
        ) AS first
        UNION ALL
        SELECT (
            SELECT id FROM messaging_delivery AS later
            WHERE status = 'dead' AND (later.subscriber, later.error_class, later.fingerprint)
                > (head.subscriber, head.error_class, head.fingerprint)
            ORDER BY subscriber, error_class, fingerprint, failed_at LIMIT 1
        )
        FROM heads JOIN messaging_delivery AS head ON head.id = heads.id
    )
    SELECT subscriber, error_class, fingerprint, (
        SELECT count(*) FROM (
            SELECT 1 FROM messaging_delivery AS letter
            WHERE letter.status = 'dead' AND letter.subscriber = head.subscriber
                AND letter.error_class = head.error_class AND letter.fingerprint = head.fingerprint
            ORDER BY letter.failed_at LIMIT {MOST_COUNTED + 1}
        ) AS letters
    ), (
        SELECT min(failed_at) FROM messaging_delivery AS letter
        WHERE letter.status = 'dead' AND letter.subscriber = head.subscriber
            AND letter.error_class = head.error_class AND letter.fingerprint = head.fingerprint
    ), (
        SELECT max(failed_at) FROM messaging_delivery AS letter
        WHERE letter.status = 'dead' AND letter.subscriber = head.subscriber
            AND letter.error_class = head.error_class AND letter.fingerprint = head.fingerprint
    )
    FROM heads JOIN messaging_delivery AS head ON head.id = heads.id
    WHERE head.status = 'dead'
"""  # noqa: S608  (a number of ours)

Log = Callable[[Sequence[Delivery]], object]


@dataclass(frozen=True, kw_only=True)
class Group:
    """
    Dead letters of one subscriber that died of the same error at the same place.
    """

    subscriber: str
    error_class: str
    fingerprint: str
    letters: int
    first_failed_at: datetime | None
    last_failed_at: datetime | None

    @property
    def identity(self) -> dict[str, str]:
        return {name: getattr(self, name) for name in ("subscriber", "error_class", "fingerprint")}


@dataclass(frozen=True, kw_only=True)
class Result:
    """
    What has become of the dead letters of a replay. Those replayed again or discarded since are in no number.
    """

    replayed: int
    delivered: int = 0
    died: int = 0
    waiting: int = 0
    failing: int = 0
    """How many of those waiting have failed since, and are retried."""
    errors: dict[str, int] = field(default_factory=dict)
    """Of those that died again, by class."""

    @property
    def others(self) -> int:
        """
        Return how many were replayed again, discarded or deleted since.
        """
        return self.replayed - self.delivered - self.died - self.waiting

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"others": self.others}


def groups(letters: DeliveryQuerySet) -> list[Group]:
    """
    Return the groups of these dead letters, the largest first, with exact numbers.
    """
    rows = letters.order_by().values("subscriber", "error_class", "fingerprint")
    counted = rows.annotate(letters=Count("pk"), first_failed_at=Min("failed_at"), last_failed_at=Max("failed_at"))
    return [Group(**row) for row in counted.order_by("-letters", "subscriber", "error_class", "fingerprint")]


def groups_at_a_glance() -> list[Group]:
    """
    Return the groups of all dead letters, those that failed last first, by one statement. `letters` is
    `MOST_COUNTED + 1` at most. Its cost depends on the number of groups, not of dead letters.
    """
    with connection.cursor() as cursor:
        cursor.execute(GROUPS)
        found = [
            Group(
                subscriber=subscriber,
                error_class=error_class,
                fingerprint=fingerprint,
                letters=letters,
                first_failed_at=read_moment(first),
                last_failed_at=read_moment(last),
            )
            for subscriber, error_class, fingerprint, letters, first, last in cursor.fetchall()
        ]
    return sorted(found, key=lambda each: each.last_failed_at.timestamp() if each.last_failed_at else 0, reverse=True)


def matching(*, event_type: str = "", **filters: Any) -> DeliveryQuerySet:
    """
    Return the dead letters that match all given filters of `DeliveryQuerySet.matching`.

    Those of an event type are looked for among subscribers to it, and among those that are no more: to read the
    messages of all dead letters takes a second for 200,000. Only those of a type that the code lacks are looked for
    among all.
    """
    letters = Delivery.objects.dead().matching(event_type=event_type, **filters)
    if event_type == UNDECODABLE:
        return letters.filter(subscriber=RECEIVE)
    if event := event_types().get(event_type):
        others = all_subscribers().keys() - {subscriber.name for subscriber in subscribers_of(event)}
        return letters.filter(subscriber__in=[name for name in subscribers_with(IS_DEAD) if name not in others])
    return letters


def replay(
    letters: DeliveryQuerySet,
    *,
    by: str,
    now: datetime,
    reason: str = "",
    chosen: str = "",
    rate: int | None = None,
    log: Log | None = None,
) -> Resolution:
    """
    Make these dead letters pending again with all their attempts, in the order of their ids, and return the record of
    it. `letters` of the record says how many were still dead.

    :param by: who asks for it.
    :param chosen: describes the filters.
    :param rate: at most so many a second become due; those that wait delay no later message with their key. None: all
        are due at once.
    :param log: called with the dead letters of each transaction, inside it.
    """
    resolution = _new_resolution(Resolution.Kind.REPLAY, by=by, now=now, reason=reason, chosen=chosen)

    def change(ids: Sequence[int], before: int) -> int:
        changes: dict[str, Any] = {"due_at": _spread(ids, before, now, rate), "delayed": True} if rate else {}
        return Delivery.objects.filter(pk__any=ids).replay(now, resolution=resolution.pk, **changes)

    return _resolve(letters, resolution, change, log)


def discard(
    letters: DeliveryQuerySet, *, by: str, now: datetime, reason: str, chosen: str = "", log: Log | None = None
) -> Resolution:
    """
    Discard these dead letters for good, and return the record of it; see `replay`.

    :raises ValueError: without a reason.
    """
    if not reason.strip():
        raise ValueError("Say why they are discarded.")
    resolution = _new_resolution(Resolution.Kind.DISCARD, by=by, now=now, reason=reason, chosen=chosen)

    def change(ids: Sequence[int], before: int) -> int:
        return Delivery.objects.filter(pk__any=ids).discard(resolution=resolution.pk)

    return _resolve(letters, resolution, change, log)


def result_of(resolution: Resolution) -> Result:
    """
    Return what has become of the dead letters of a replay until now.
    """
    deliveries = Delivery.objects.filter(resolution=resolution.pk)
    has_failed = Q(status=Delivery.Status.PENDING, failed_at__gte=resolution.resolved_at)
    numbers = dict.fromkeys(Delivery.Status, 0)
    failing, errors = 0, {}
    counted = deliveries.order_by().values("status", "error_class")
    for row in counted.annotate(number=Count("pk"), failing=Count("pk", filter=has_failed)):
        numbers[Delivery.Status(row["status"])] += row["number"]
        failing += row["failing"]
        if row["status"] == Delivery.Status.DEAD:
            errors[row["error_class"]] = row["number"]
    return Result(
        replayed=resolution.letters,
        delivered=numbers[Delivery.Status.DELIVERED],
        died=numbers[Delivery.Status.DEAD],
        waiting=numbers[Delivery.Status.PENDING],
        failing=failing,
        errors=errors,
    )


def wait_for(resolution: Resolution, *, seconds: float, report: Callable[[Result], object]) -> Result:
    """
    Wait until none of a replay's dead letters is pending any more, or for so many seconds. Workers deliver them.

    :param report: called with each result on the way.
    """
    end = time.monotonic() + seconds
    while (result := result_of(resolution)).waiting and time.monotonic() < end:
        report(result)
        time.sleep(POLL_SECONDS)
    return result


def count_up_to(letters: DeliveryQuerySet) -> int:
    """
    Return the number of these dead letters, or `MOST_COUNTED + 1` if there are more than `MOST_COUNTED`.
    """
    return letters.order_by()[: MOST_COUNTED + 1].count()


def described_count(number: int) -> str:
    """
    Return a number that `count_up_to` or a group counted, such as "17" or "1000+".
    """
    return f"{MOST_COUNTED}+" if number > MOST_COUNTED else str(number)


def readable_payload(payload: str, *, with_contact_data: bool) -> str:
    """
    Return a message's payload for people, and at most its first `PAYLOAD_CHARACTERS`.

    :param with_contact_data: otherwise addresses and phone numbers are hidden.
    """
    if not with_contact_data:
        payload = redact(CONTACT.sub(r'"\1":"(hidden)"', payload))
    try:
        text = msgspec.json.format(payload, indent=2)
    except (ValueError, RecursionError):
        text = payload
    return text if len(text) <= PAYLOAD_CHARACTERS else f"{text[:PAYLOAD_CHARACTERS]}\n…"


def advice_for(error_class: str) -> str:
    """
    Return what to do about dead letters of this error.
    """
    return ADVICE.get(error_class, OTHER_ADVICE)


def _new_resolution(kind: Resolution.Kind, *, by: str, now: datetime, reason: str, chosen: str) -> Resolution:
    fields = {"resolved_by": by[:200], "reason": redact(reason.strip())[:500], "chosen": chosen[:500]}
    return Resolution(kind=kind, resolved_at=now, **fields)


def _resolve(
    letters: DeliveryQuerySet, resolution: Resolution, change: Callable[[Sequence[int], int], int], log: Log | None
) -> Resolution:
    ids = sorted(letters.values_list("pk", flat=True))
    for start in range(0, len(ids), CHUNK):
        with transaction.atomic():
            chosen = Delivery.objects.dead().filter(pk__any=ids[start : start + CHUNK])
            locked = list(chosen.order_by("pk").select_for_update(of=("self",)))
            if locked:
                resolution.letters += change([letter.pk for letter in locked], resolution.letters)
                resolution.save()
                transaction.on_commit(wakeup.notify, robust=True)
                if log:
                    log(locked)
    return resolution


def _spread(ids: Sequence[int], before: int, now: datetime, rate: int) -> Case:
    """
    Return when each of these deliveries is due, if so many were made due before them.
    """
    by_second: dict[int, list[int]] = {}
    for position, pk in enumerate(ids, before):
        by_second.setdefault(position // rate, []).append(pk)
    due = [When(pk__in=of, then=Value(now + timedelta(seconds=second))) for second, of in by_second.items()]
    return Case(*due, output_field=DateTimeField())
