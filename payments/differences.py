"""
Differences between our books and the gateway's statement. Nothing is changed here; `reconciliation` repairs.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from django.conf import settings
from django.db.models import Min

from messaging.kernel.ids import parse_id
from messaging.kernel.money import money

from .gateway import protocol
from .gateway.paths import stored_paths
from .gateway.protocol import Money, StatementEntry
from .models import Capture, PaymentIntent, Refund

MARGIN = timedelta(days=1)
"""The gateway may have recorded a charge this much earlier than we did."""

RECONCILED_WITHIN = timedelta(hours=2)
"""Reconciliation runs every hour, and one run may fail because the gateway does not answer."""

LOOKUP_SIZE = 500


class DifferenceKind(StrEnum):
    """
    How our books and the gateway's differ.
    """

    UNBOOKED = "unbooked"
    """The gateway has a capture for an order of ours; our books do not. Repaired."""
    REFUND_UNSETTLED = "refund_unsettled"
    """The gateway has made a refund; in our books it is still open. Repaired."""
    GIVEN_BACK = "given_back"
    """The gateway has a capture for an order of ours, and has refunded it; our books have neither."""
    STRANGE = "strange"
    """The gateway has a capture for no order of ours."""
    MISSING = "missing"
    """Our books have a capture; the gateway's do not."""
    DIFFERENT = "different"
    """Both have a capture, in different amounts or currencies."""
    REFUND_STRANGE = "refund_strange"
    """The gateway has made a refund that we did not request, or that it had refused."""
    REFUND_MISSING = "refund_missing"
    """Our books have a refund; the gateway's do not."""


REPAIRABLE = frozenset({DifferenceKind.UNBOOKED, DifferenceKind.REFUND_UNSETTLED})
UNCONFIRMED = frozenset({DifferenceKind.MISSING, DifferenceKind.DIFFERENT})
"""Our books have a capture that the gateway's statement does not confirm."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    kind: DifferenceKind
    reference: str
    """The gateway's id of the charge."""
    order_id: str
    happened_at: datetime
    amounts: tuple[Money, ...] = ()
    """The gateway's amount; ours, if only we have it; or the gateway's and ours."""
    key: str = ""
    """The idempotency key of the charge or the refund, if it helps to find it."""
    entry: StatementEntry | None = None

    @property
    def detail(self) -> str:
        """
        Return the amounts, in minor units, and the key.
        """
        return self._describe(lambda amount, currency: f"{amount} {currency}")

    @property
    def description(self) -> str:
        """
        Return the amounts, as people write them, and the key.
        """
        return self._describe(money)

    @property
    def identity(self) -> tuple[str, str, str]:
        return self.kind, self.reference, self.detail

    def _describe(self, write: Callable[[int, str], str]) -> str:
        amounts = ", not ".join(write(*amount) for amount in self.amounts)
        return " by ".join(part for part in (amounts, self.key) if part)


def statement(since: datetime | None) -> list[StatementEntry]:
    """
    Return the gateway's entries, as far back as those of captures that we recorded since this moment may be.

    :raises NoStatement: if the gateway keeps no books.
    :raises Unreachable: if it could not be reached.
    :raises TimedOut: if it did not answer.
    """
    return list(protocol.current().statement(since and _earliest_entry(since)))


def compare(entries: Sequence[StatementEntry], *, since: datetime | None, before: datetime) -> list[Difference]:
    """
    Return the differences between the gateway's entries and our books, without changing anything.

    :param before: when the entries were requested; what our books have recorded later is left out.
    """
    captures = our_captures(entries, since)
    references = {entry.reference for entry in entries}
    unmatched = [capture for reference, capture in captures.items() if reference not in references]
    return [
        *_unrecorded([entry for entry in entries if entry.reference not in captures]),
        *(_missing(capture) for capture in unmatched if capture.captured_at < before),
        *(
            difference
            for entry in entries
            if entry.reference in captures
            for difference in _differences(entry, captures[entry.reference], before)
        ),
    ]


def _earliest_entry(since: datetime) -> datetime:
    """
    Return when the gateway may have recorded what we recorded since this moment: not before the payment was opened.
    """
    intents = PaymentIntent.objects.filter(captures__captured_at__gte=since)
    opened_at = intents.aggregate(opened_at=Min("created_at"))["opened_at"]
    return min(since, opened_at or since) - MARGIN


def our_captures(entries: Iterable[StatementEntry], since: datetime | None) -> dict[str, Capture]:
    """
    Return the captures of this gateway since then, and those of its entries, by the gateway's reference.
    """
    captures = Capture.objects.select_related("intent").prefetch_related("refunds")
    recent = captures.filter(intent__gateway__in=stored_paths(settings.PAYMENTS.gateway))
    by_reference = {
        capture.reference: capture for capture in (recent.filter(captured_at__gte=since) if since else recent)
    }
    others = [entry.reference for entry in entries if entry.reference not in by_reference]
    for start in range(0, len(others), LOOKUP_SIZE):
        some = captures.filter(reference__in=others[start : start + LOOKUP_SIZE])
        by_reference |= {capture.reference: capture for capture in some}
    return by_reference


def _unrecorded(entries: Sequence[StatementEntry]) -> Iterator[Difference]:
    intents = intents_of(entries)
    for entry in entries:
        of_ours = DifferenceKind.GIVEN_BACK if entry.refunds else DifferenceKind.UNBOOKED
        yield Difference(
            kind=of_ours if entry.reference in intents else DifferenceKind.STRANGE,
            reference=entry.reference,
            order_id=entry.order_id,
            happened_at=entry.captured_at,
            amounts=(entry.captured,),
            key=entry.charge_key,
            entry=entry,
        )


def _missing(capture: Capture) -> Difference:
    return Difference(
        kind=DifferenceKind.MISSING,
        reference=capture.reference,
        order_id=str(capture.intent.order_id),
        happened_at=capture.captured_at,
        amounts=(Money(capture.amount, capture.currency),),
    )


def _differences(entry: StatementEntry, capture: Capture, before: datetime) -> Iterator[Difference]:
    """
    Return the differences between an entry and our capture of it.
    """

    def difference(kind: DifferenceKind, when: datetime, *amounts: Money, key: str = "") -> Difference:
        order_id = str(capture.intent.order_id)
        return Difference(
            kind=kind, reference=entry.reference, order_id=order_id, happened_at=when, amounts=amounts, key=key
        )

    captured, currency = Money(capture.amount, capture.currency), capture.currency
    if entry.captured != captured:
        yield difference(DifferenceKind.DIFFERENT, entry.captured_at, entry.captured, captured)
    ours = {str(refund.pk): refund for refund in capture.refunds.all()}
    for key, amount in entry.refunds.items():
        refund = ours.pop(key, None)
        if not refund or refund.amount != amount or refund.status == Refund.Status.FAILED:
            yield difference(DifferenceKind.REFUND_STRANGE, entry.captured_at, Money(amount, currency), key=key)
        elif refund.status in Refund.OPEN:
            yield difference(DifferenceKind.REFUND_UNSETTLED, refund.requested_at, key=key)
    for key, refund in ours.items():
        if refund.status == Refund.Status.SUCCEEDED and refund.settled_at and refund.settled_at < before:
            yield difference(DifferenceKind.REFUND_MISSING, refund.settled_at, Money(refund.amount, currency), key=key)


def intents_of(entries: Sequence[StatementEntry]) -> dict[str, PaymentIntent]:
    """
    Return the payments that entries belong to, by their charges or else by their orders, keyed by the reference.
    """
    intents = {}
    for start in range(0, len(entries), LOOKUP_SIZE):
        some = entries[start : start + LOOKUP_SIZE]
        by_key = PaymentIntent.objects.in_bulk([key for entry in some if (key := parse_id(entry.charge_key))])
        order_ids = [order_id for entry in some if (order_id := parse_id(entry.order_id))]
        by_order = PaymentIntent.objects.in_bulk(order_ids, field_name="order_id")
        for entry in some:
            if intent := by_key.get(parse_id(entry.charge_key)) or by_order.get(parse_id(entry.order_id)):
                intents[entry.reference] = intent
    return intents
