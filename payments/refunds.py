"""
Giving captured money back, once, and never more than was captured.

Whoever changes refunds holds the intents of their captures, so that two never give the same money back. The database
refuses it all the same: what of a capture went back, or is on its way, is counted on its row.
"""

import logging
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from messaging.contracts import PaymentAnomalyFound, PaymentRefunded, RefundRequested
from messaging.kernel.money import money
from messaging.outbox import publish_all

from .gateway import protocol
from .gateway.calls import call_all, insist_on
from .gateway.protocol import Answer, Outcome, RefundRequest, Reply, TimedOut
from .models import Capture, PaymentIntent, Refund

logger = logging.getLogger(__name__)

Status = Refund.Status


class RefundExceedsCapture(Exception):
    """
    More would be given back than was captured and not refunded yet; nothing was changed.
    """


@transaction.atomic
def refund(order_id: str, *, amount: int | None = None, reason: str, now: datetime) -> list[Refund]:
    """
    Give part or all of an order's money back, on a person's word.

    :param amount: in minor units, of what the order cost; None for all that is left: of money that no order asked for,
        if there is any, which the gateway must have refused to give back before, else of what the order cost.
    :raises RefundExceedsCapture: if that is not positive or more than what is left.
    """
    captures = [capture for capture in _captures(PaymentIntent.objects.locked([order_id])) if capture.left]
    surplus = any(capture.surplus for capture in captures) and amount is None
    left = {capture: capture.left for capture in captures if capture.surplus is surplus}
    if not left:
        raise RefundExceedsCapture("Nothing of this order is left to refund.")
    if amount is None:
        return request(left, reason, now)
    [(capture, most)] = left.items()
    if not 0 < amount <= most:
        bounds = f"{money(1, capture.currency)} and {money(most, capture.currency)}"
        raise RefundExceedsCapture(f"Refund between {bounds} of this order, not {money(amount, capture.currency)}.")
    return request({capture: amount}, reason, now)


def request_rest(intents: Sequence[PaymentIntent], reason: str, now: datetime) -> None:
    """
    Owe all that is left of these locked intents to their customers.
    """
    request({capture: capture.left for capture in _captures(intents) if capture.left}, reason, now)


def request(amounts: Mapping[Capture, int], reason: str, now: datetime) -> list[Refund]:
    """
    Owe these amounts, in minor units, of captures of locked intents to their customers, and announce it to ourselves.
    """
    for capture, amount in amounts.items():
        capture.returned += amount
    Capture.objects.bulk_update(amounts, ["returned"])
    refunds = Refund.objects.bulk_create(
        [Refund(capture=capture, amount=amount, reason=reason, requested_at=now) for capture, amount in amounts.items()]
    )
    publish_all([_requested(refund) for refund in refunds])
    return refunds


def send(refund_ids: Collection[str], *, now: datetime) -> None:
    """
    Have the gateway give the money back. Call it outside a transaction; it may be called again for the same refund.

    :raises Unavailable: if the gateway did not decide on one of them yet; the others are settled.
    """
    asked = list(_open_ones(refund_ids))
    replies = list(zip(asked, call_all(_give_back, asked), strict=True))
    settle({refund.pk: reply for refund, reply in replies}, now=now)
    insist_on({str(refund.capture.intent.order_id): reply for refund, reply in replies if not _is_final(reply)})


@transaction.atomic
def settle(replies: Mapping[UUID, Reply], *, now: datetime) -> None:
    """
    Bring what the gateway said to the refunds that are still open, by their ids, and announce it.
    """
    affected = PaymentIntent.objects.filter(captures__refunds__in=list(replies)).values_list("order_id", flat=True)
    PaymentIntent.objects.locked(map(str, affected))
    refunds = list(_open_ones(replies))
    said: dict[object, list[Refund]] = defaultdict(list)
    for refund in refunds:
        reply = replies[refund.pk]
        said[reply.outcome if isinstance(reply, Answer) else type(reply)].append(refund)
        if isinstance(reply, Answer):
            refund.provider_reference, refund.failure_reason = reply.reference, reply.reason
    Refund.objects.bulk_update(refunds, ["provider_reference", "failure_reason"])
    Refund.move_to(Status.UNKNOWN, [refund for refund in said[TimedOut] if refund.status == Status.PENDING])
    _succeed(said[Outcome.SUCCEEDED], now)
    _fail(said[Outcome.DECLINED], now)


def _succeed(refunds: Sequence[Refund], now: datetime) -> None:
    Refund.move_to(Status.SUCCEEDED, refunds, settled_at=now)
    publish_all([_refunded(refund) for refund in refunds])


def _fail(refunds: Sequence[Refund], now: datetime) -> None:
    """
    Let what the gateway refused to give back be given back another way, and have the operator told.
    """
    Refund.move_to(Status.FAILED, refunds, settled_at=now)
    freed: Counter[UUID] = Counter()
    for refund in refunds:
        logger.error("The gateway refused refund %s: %s.", refund.pk, refund.failure_reason or "it gave no reason")
        freed[refund.capture_id] += refund.amount
    captures = list(Capture.objects.filter(pk__in=list(freed)))
    for capture in captures:
        capture.returned -= freed[capture.pk]
    Capture.objects.bulk_update(captures, ["returned"])
    publish_all([_refused(refund) for refund in refunds])


def _open_ones(refund_ids: Collection[object]) -> QuerySet[Refund]:
    """
    Find those of these refunds that are not settled, with their payments.
    """
    found = Refund.objects.filter(pk__in=list(refund_ids), status__in=Refund.OPEN)
    return found.select_related("capture__intent").order_by("pk")


def _captures(intents: Sequence[PaymentIntent]) -> list[Capture]:
    return list(Capture.objects.filter(intent__in=intents).select_related("intent").order_by("pk"))


def _is_final(reply: Reply) -> bool:
    return isinstance(reply, Answer) and reply.outcome in {Outcome.SUCCEEDED, Outcome.DECLINED}


def _give_back(refund: Refund) -> Answer:
    repayment = RefundRequest(
        idempotency_key=str(refund.pk),
        charge_reference=refund.capture.reference,
        amount=refund.amount,
        currency=refund.capture.currency,
    )
    return protocol.at(refund.capture.intent.gateway).refund(repayment)


def _requested(refund: Refund) -> RefundRequested:
    return RefundRequested(order_id=str(refund.capture.intent.order_id), refund_id=str(refund.pk))


def _refunded(refund: Refund) -> PaymentRefunded:
    intent = refund.capture.intent
    return PaymentRefunded(
        order_id=str(intent.order_id),
        refund_id=str(refund.pk),
        amount=refund.amount,
        currency=refund.capture.currency,
        email=intent.email,
        customer_id=intent.customer_id,
        reason=refund.reason,
        surplus=refund.capture.surplus,
    )


def _refused(refund: Refund) -> PaymentAnomalyFound:
    return PaymentAnomalyFound(
        order_id=str(refund.capture.intent.order_id),
        anomaly="refund_refused",
        amount=refund.amount,
        currency=refund.capture.currency,
        detail=refund.failure_reason,
    )
