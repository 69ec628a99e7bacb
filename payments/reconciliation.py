"""
Reconciliation: our books are compared with the gateway's, both ways, and differences that are safe to repair are.

Safe to repair are captures and refunds that only the gateway knows of, because their answers or webhooks were lost.
Every other difference is left to an operator.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from messaging.contracts import PaymentAnomalyFound
from messaging.outbox import publish_all

from . import refunds
from .charges.captures import record_captures
from .charges.outcomes import apply_replies
from .differences import (
    REPAIRABLE,
    UNCONFIRMED,
    Difference,
    DifferenceKind,
    compare,
    intents_of,
    our_captures,
    statement,
)
from .gateway.protocol import Answer, NoStatement, Outcome, StatementEntry, TimedOut, Unreachable
from .models import PaymentIntent, Reconciliation

logger = logging.getLogger(__name__)

RECENT = timedelta(days=2)
MAX_ALERTS = 10
"""Mails of one reconciliation about unconfirmed captures; a statement that is incomplete may lack thousands."""


@dataclass(frozen=True, kw_only=True)
class ReconciliationReport:
    entries: int
    captures: int
    repaired: Sequence[Difference]
    left: Sequence[Difference]


def reconcile(*, since: datetime | None, now: datetime) -> ReconciliationReport:
    """
    Compare our books with those of the gateway in use, since a moment or entirely, and repair what is safe. Captures of
    the last two days that the gateway does not confirm end the trust in its webhooks; without any, it is renewed.

    :raises NoStatement: if the gateway keeps no books.
    :raises Unreachable: if it could not be reached.
    :raises TimedOut: if it did not answer.
    """
    entries = statement(since)
    differences = left = compare(entries, since=since, before=now)
    for difference in differences:
        _repair(difference, now)
    if differences:
        entries = statement(since)  # includes what the gateway recorded during the first reading
        left = compare(entries, since=since, before=now)
    remaining = {difference.identity for difference in left}
    repairable = [difference for difference in differences if difference.kind in REPAIRABLE]
    repaired = [difference for difference in repairable if difference.identity not in remaining]
    if since is None or since <= now - RECENT:
        _store_result([difference for difference in left if difference.kind in UNCONFIRMED], now)
    return ReconciliationReport(
        entries=len(entries), captures=len(our_captures(entries, since)), repaired=repaired, left=left
    )


def reconcile_lately() -> None:
    """
    Reconcile the last two days, and log the differences that are left to an operator. The cluster calls it every hour.
    """
    now = timezone.now()
    try:
        report = reconcile(since=now - RECENT, now=now)
    except NoStatement as reason:
        logger.info("Payments were not reconciled: %s", reason)
    except (TimedOut, Unreachable) as reason:
        logger.error("Payments were not reconciled: %s", reason)  # noqa: TRY400  (its traceback says no more)
    else:
        for difference in report.left:
            logger.error("Our books and the gateway's differ: %s", difference)


@transaction.atomic
def _store_result(unconfirmed: Sequence[Difference], now: datetime) -> None:
    """
    Store how many captures are unconfirmed, and alert the operator about those that are new.
    """
    gateway = settings.PAYMENTS.gateway
    last = Reconciliation.objects.select_for_update().filter(gateway=gateway, unconfirmed__gt=0).first()
    new = [difference for difference in unconfirmed if not last or difference.happened_at >= last.began_at]
    announced = new[:MAX_ALERTS]
    numbers = PaymentIntent.objects.order_numbers(difference.order_id for difference in announced)
    publish_all([_anomaly_event(difference, numbers.get(difference.order_id, "")) for difference in announced])
    Reconciliation.objects.update_or_create(
        gateway=gateway, defaults={"began_at": now, "unconfirmed": len(unconfirmed)}
    )


def _anomaly_event(difference: Difference, number: str) -> PaymentAnomalyFound:
    *_, (amount, currency) = difference.amounts
    return PaymentAnomalyFound(
        order_id=difference.order_id,
        anomaly="unconfirmed_capture",
        amount=amount,
        currency=currency,
        detail=difference.reference,
        number=number,
    )


def _repair(difference: Difference, now: datetime) -> None:
    if difference.kind is DifferenceKind.REFUND_UNSETTLED:
        refunds.apply_replies({UUID(difference.key): Answer(outcome=Outcome.SUCCEEDED)}, now=now)
    elif difference.kind is DifferenceKind.UNBOOKED and difference.entry:
        _record(difference.entry, now)


@transaction.atomic
def _record(entry: StatementEntry, now: datetime) -> None:
    """
    Apply an entry to our books, as the gateway's answer that was lost.
    """
    intent = intents_of([entry])[entry.reference]
    answer = Answer(outcome=Outcome.SUCCEEDED, reference=entry.reference, captured=entry.captured)
    if entry.charge_key == str(intent.pk):
        apply_replies({str(intent.order_id): answer}, now=now)
    else:
        [locked] = PaymentIntent.objects.locked([str(intent.order_id)])
        record_captures({locked: answer}, now=now)
