"""
Reconciliation: our books beside the gateway's, both ways, and the repair of what is safe to repair.

Safe is to learn: of money that came and that nobody told us of, and of refunds that were given back and whose answer
was lost. What our books have and the gateway's do not, or have otherwise, is for a person.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from django.db import transaction
from django.db.models import Min
from django.utils import timezone

from . import refunds
from .charges.captures import record_captures
from .charges.outcomes import apply_replies
from .gateway import protocol
from .gateway.protocol import Answer, Money, NoStatement, Outcome, StatementEntry, TimedOut, Unreachable
from .models import Capture, PaymentIntent, Refund, as_id

logger = logging.getLogger(__name__)

MARGIN = timedelta(days=1)
"""How much earlier the gateway may have booked what we learned of later."""

LOOKED_UP_AT_ONCE = 500


class Kind(StrEnum):
    """
    How our books and the gateway's differ.
    """

    UNBOOKED = "unbooked"
    """Money came for an order of ours, and our books do not have it. Repaired."""
    REFUND_UNSETTLED = "refund_unsettled"
    """A refund was given back, and our books still wait for it. Repaired."""
    GIVEN_BACK = "given_back"
    """Money came for an order of ours, our books do not have it, and somebody gave it back at the gateway."""
    STRANGE = "strange"
    """Money came for no order of ours."""
    MISSING = "missing"
    """Our books have money that the gateway's do not."""
    DIFFERENT = "different"
    """Both have it, in another amount or currency."""
    REFUND_STRANGE = "refund_strange"
    """The gateway gave money back that we did not ask for, or that it told us it would not give back."""
    REFUND_MISSING = "refund_missing"
    """Our books gave money back, and the gateway's did not."""


REPAIRABLE = frozenset({Kind.UNBOOKED, Kind.REFUND_UNSETTLED})


@dataclass(frozen=True)
class Difference:
    kind: Kind
    reference: str
    """The gateway's name for the charge."""
    order_id: str
    detail: str
    happened_at: datetime
    booking: StatementEntry | None = None

    @property
    def name(self) -> tuple[str, str, str]:
        return self.kind, self.reference, self.detail


@dataclass(frozen=True, kw_only=True)
class Report:
    bookings: int
    captures: int
    repaired: Sequence[Difference]
    left: Sequence[Difference]


def reconcile(*, since: datetime | None, now: datetime) -> Report:
    """
    Compare our books with those of the gateway in use, since a moment or for ever, and repair what is safe.

    :raises NoStatement: if the gateway keeps no books.
    :raises Unreachable: if it could not be asked.
    :raises TimedOut: if it did not answer.
    """
    bookings = statement(since)
    found = left = compare(bookings, since=since, before=now)
    for difference in found:
        _repair(difference, now)
    if found:
        bookings = statement(since)  # what was booked there while we read is in it now
        left = compare(bookings, since=since, before=now)
    names = {difference.name for difference in left}
    repaired = [difference for difference in found if difference.kind in REPAIRABLE and difference.name not in names]
    return Report(bookings=len(bookings), captures=len(_ours(bookings, since)), repaired=repaired, left=left)


def reconcile_lately() -> None:
    """
    Reconcile the last two days, for whoever calls this every hour, and log what is left to a person.
    """
    now = timezone.now()
    try:
        report = reconcile(since=now - timedelta(days=2), now=now)
    except (NoStatement, TimedOut, Unreachable) as problem:
        told = logger.info if isinstance(problem, NoStatement) else logger.error
        told("Payments were not reconciled: %s", problem)
        return
    for difference in report.left:
        logger.error("Our books and the gateway's differ: %s", difference)


def statement(since: datetime | None) -> list[StatementEntry]:
    """
    Read the gateway's books as far back as it may have booked what ours learned of since then.

    :raises NoStatement: if the gateway keeps no books.
    :raises Unreachable: if it could not be asked.
    :raises TimedOut: if it did not answer.
    """
    return list(protocol.current().statement(since and _earliest_booking(since)))


def compare(bookings: Sequence[StatementEntry], *, since: datetime | None, before: datetime) -> list[Difference]:
    """
    Tell where the gateway's bookings and our books differ, without changing anything.

    :param before: when the bookings were asked for; what our books have learned since then is left out.
    """
    ours = _ours(bookings, since)
    theirs = {booking.reference for booking in bookings}
    unbooked = [booking for booking in bookings if booking.reference not in ours]
    return [
        *_unbooked(unbooked),
        *(_missing(it) for reference, it in ours.items() if reference not in theirs and it.captured_at < before),
        *(found for it in bookings if it.reference in ours for found in _apart(it, ours[it.reference], before)),
    ]


def _earliest_booking(since: datetime) -> datetime:
    """
    Tell since when the gateway may have booked what we learned of since this moment: hardly before the payment was
    opened, but that may be long ago.
    """
    learned = PaymentIntent.objects.filter(captures__captured_at__gte=since)
    opened_at = learned.aggregate(opened_at=Min("created_at"))["opened_at"]
    return min(since, opened_at or since) - MARGIN


def _ours(bookings: Iterable[StatementEntry], since: datetime | None) -> dict[str, Capture]:
    """
    Find what our books have from this gateway since then, and all that it has booked, by its reference.
    """
    captures = Capture.objects.select_related("intent").prefetch_related("refunds")
    ours = captures.filter(intent__gateway__in=protocol.stored_paths())
    found = {capture.reference: capture for capture in (ours.filter(captured_at__gte=since) if since else ours)}
    others = [booking.reference for booking in bookings if booking.reference not in found]
    for start in range(0, len(others), LOOKED_UP_AT_ONCE):
        some = captures.filter(reference__in=others[start : start + LOOKED_UP_AT_ONCE])
        found |= {capture.reference: capture for capture in some}
    return found


def _unbooked(bookings: Sequence[StatementEntry]) -> Iterator[Difference]:
    intents = _intents(bookings)
    for booking in bookings:
        ours = Kind.GIVEN_BACK if booking.refunds else Kind.UNBOOKED
        kind = ours if booking.reference in intents else Kind.STRANGE
        detail = f"{booking.captured.amount} {booking.captured.currency} by {booking.charge_key}"
        yield Difference(kind, booking.reference, booking.order_id, detail, booking.captured_at, booking)


def _missing(capture: Capture) -> Difference:
    detail = f"{capture.amount} {capture.currency}"
    return Difference(Kind.MISSING, capture.reference, str(capture.intent.order_id), detail, capture.captured_at)


def _apart(booking: StatementEntry, capture: Capture, before: datetime) -> Iterator[Difference]:
    """
    Tell where a booking and our capture of it differ.
    """
    about = (booking.reference, str(capture.intent.order_id))
    if booking.captured != Money(capture.amount, capture.currency):
        detail = f"{booking.captured.amount} {booking.captured.currency}, not {capture.amount} {capture.currency}"
        yield Difference(Kind.DIFFERENT, *about, detail, booking.captured_at)
    ours = {str(refund.pk): refund for refund in capture.refunds.all()}
    for key, amount in booking.refunds.items():
        refund = ours.pop(key, None)
        if not refund or refund.amount != amount or refund.status == Refund.Status.FAILED:
            yield Difference(Kind.REFUND_STRANGE, *about, f"{amount} by {key}", booking.captured_at)
        elif refund.status in Refund.OPEN:
            yield Difference(Kind.REFUND_UNSETTLED, *about, key, refund.requested_at)
    for refund in ours.values():
        if refund.status == Refund.Status.SUCCEEDED and refund.settled_at and refund.settled_at < before:
            yield Difference(Kind.REFUND_MISSING, *about, f"{refund.amount} by {refund.pk}", refund.settled_at)


def _intents(bookings: Sequence[StatementEntry]) -> dict[str, PaymentIntent]:
    """
    Find the payment that each booking belongs to, by its charge or else by its order; the bookings' references name it.
    """
    found = {}
    for start in range(0, len(bookings), LOOKED_UP_AT_ONCE):
        some = bookings[start : start + LOOKED_UP_AT_ONCE]
        by_key = PaymentIntent.objects.in_bulk([key for it in some if (key := as_id(it.charge_key))])
        orders = [order_id for it in some if (order_id := as_id(it.order_id))]
        by_order = PaymentIntent.objects.in_bulk(orders, field_name="order_id")
        for it in some:
            if intent := by_key.get(as_id(it.charge_key)) or by_order.get(as_id(it.order_id)):
                found[it.reference] = intent
    return found


def _repair(difference: Difference, now: datetime) -> None:
    if difference.kind is Kind.REFUND_UNSETTLED:
        refunds.apply_replies({UUID(difference.detail): Answer(outcome=Outcome.SUCCEEDED)}, now=now)
    elif difference.kind is Kind.UNBOOKED and difference.booking:
        _book(difference.booking, now)


@transaction.atomic
def _book(booking: StatementEntry, now: datetime) -> None:
    intent = _intents([booking])[booking.reference]
    answer = Answer(outcome=Outcome.SUCCEEDED, reference=booking.reference, captured=booking.captured)
    if booking.charge_key == str(intent.pk):
        apply_replies({str(intent.order_id): answer}, now=now)
    else:
        [locked] = PaymentIntent.objects.locked([str(intent.order_id)])
        record_captures({locked: answer}, now=now)
