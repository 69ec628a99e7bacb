"""
Refunds: captured money goes back once, and never more than was captured.

Refunds change only while the intents of their captures are locked, so that no two transactions refund the same money. A
database constraint backs that: a capture's `returned` counts what is refunded or being refunded.
"""

import logging
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet, Sum

from messaging.contracts import PaymentAnomalyFound, PaymentRefunded, RefundRequested
from messaging.kernel.money import money
from messaging.outbox import publish_all

from .gateway import protocol
from .gateway.calls import call_all, group_replies, raise_unavailable
from .gateway.protocol import Answer, Outcome, RefundRequest, Reply
from .models import Capture, PaymentIntent, Refund

logger = logging.getLogger(__name__)

Status = Refund.Status


class RefundExceedsCapture(Exception):
    """
    The amount exceeds what was captured and not refunded yet; nothing was changed.
    """


class RefundReason(NamedTuple):
    """
    Why money goes back: the cause, and the words for it that the customer reads.
    """

    cause: Refund.Cause
    text: str


@transaction.atomic
def refund(order_id: str, *, amount: int | None = None, reason: str, now: datetime) -> list[Refund]:
    """
    Refund part or all of an order's payment, at the request of an operator.

    :param amount: minor units of what the order cost; None for all that is refundable: surplus captures, if there are
        any, whose refunds the gateway must have refused before, otherwise what the order cost.
    :raises RefundExceedsCapture: if the amount is not positive or exceeds what is refundable.
    """
    captures = [capture for capture in _captures(PaymentIntent.objects.locked([order_id])) if capture.refundable]
    surplus = any(capture.surplus for capture in captures) and amount is None
    refundable = {capture: capture.refundable for capture in captures if capture.surplus is surplus}
    if not refundable:
        raise RefundExceedsCapture("Nothing of this order is left to refund.")
    by_operator = RefundReason(Refund.Cause.OPERATOR, reason)
    if amount is None:
        return request(refundable, by_operator, now)
    [(capture, most)] = refundable.items()
    if not 0 < amount <= most:
        bounds = f"{money(1, capture.currency)} and {money(most, capture.currency)}"
        raise RefundExceedsCapture(f"Refund between {bounds} of this order, not {money(amount, capture.currency)}.")
    return request({capture: amount}, by_operator, now)


def request_rest(intents: Sequence[PaymentIntent], reason: RefundReason, now: datetime) -> None:
    """
    Request refunds of all that is refundable of these locked intents.
    """
    request({capture: capture.refundable for capture in _captures(intents) if capture.refundable}, reason, now)


def request(amounts: Mapping[Capture, int], reason: RefundReason, now: datetime) -> list[Refund]:
    """
    Store refunds of these amounts, in minor units, of captures of locked intents, and publish that they are to be sent.
    """
    for capture, amount in amounts.items():
        capture.returned += amount
    Capture.objects.bulk_update(amounts, ["returned"])
    about = {"reason": reason.text, "cause": reason.cause, "requested_at": now}
    refunds = Refund.objects.bulk_create(
        [Refund(capture=capture, amount=amount, **about) for capture, amount in amounts.items()]
    )
    publish_all([_requested_event(refund) for refund in refunds])
    return refunds


def send(refund_ids: Collection[str], *, now: datetime) -> None:
    """
    Send refunds to the gateway. Call it outside a transaction; it may be called again for the same refund.

    :raises PartlyUnavailable: if the gateway did not answer for some of them; the others are done.
    :raises NotReady: if the gateway has not decided on some of them yet; the others are done.
    """
    refunds = list(_open_refunds(refund_ids))
    answered = call_all(_refund, refunds, key=_order_id, order_id=lambda refund: refund.capture.intent.order_id)
    replies = dict(zip(refunds, answered, strict=True))
    apply_replies({refund.pk: reply for refund, reply in replies.items()}, now=now)
    raise_unavailable({_order_id(refund): reply for refund, reply in replies.items() if not _is_final(reply)})


@transaction.atomic
def apply_replies(replies: Mapping[UUID, Reply], *, now: datetime) -> None:
    """
    Apply the gateway's replies to the refunds that are still open, and publish what they decide.

    :param replies: by the refunds' ids.
    """
    order_ids = PaymentIntent.objects.filter(captures__refunds__in=list(replies)).values_list("order_id", flat=True)
    PaymentIntent.objects.locked(map(str, order_ids))
    groups = group_replies({refund: replies[refund.pk] for refund in _open_refunds(replies)})
    for refund, answer in groups.answers.items():
        refund.provider_reference, refund.failure_reason = answer.reference, answer.reason
    Refund.objects.bulk_update(groups.answers, ["provider_reference", "failure_reason"])
    Refund.move_to(Status.UNKNOWN, [refund for refund in groups.unknown if refund.status == Status.PENDING])
    _succeed(groups.answered(Outcome.SUCCEEDED), now)
    _fail(groups.answered(Outcome.DECLINED), now)


def _succeed(refunds: Sequence[Refund], now: datetime) -> None:
    refunded = _refunded_before(refunds)
    Refund.move_to(Status.SUCCEEDED, refunds, settled_at=now)
    events = []
    for refund in refunds:
        refunded[refund.capture.intent_id] += 0 if refund.capture.surplus else refund.amount
        events.append(_refunded_event(refund, refunded[refund.capture.intent_id]))
    publish_all(events)


def _fail(refunds: Sequence[Refund], now: datetime) -> None:
    """
    Make the amounts that the gateway refused to give back refundable again, and alert the operator.
    """
    Refund.move_to(Status.FAILED, refunds, settled_at=now)
    freed: Counter[UUID] = Counter()
    for refund in refunds:
        logger.error("The gateway refused refund %s: %s.", refund.pk, refund.failure_reason or "no reason given")
        freed[refund.capture_id] += refund.amount
    captures = list(Capture.objects.filter(pk__in=list(freed)))
    for capture in captures:
        capture.returned -= freed[capture.pk]
    Capture.objects.bulk_update(captures, ["returned"])
    publish_all([_anomaly_event(refund) for refund in refunds])


def _refunded_before(refunds: Sequence[Refund]) -> Counter[UUID]:
    """
    Return the minor units that were refunded of each of these refunds' payments, without surplus captures.
    """
    intents = [refund.capture.intent_id for refund in refunds]
    earlier = Refund.objects.filter(capture__intent_id__in=intents, capture__surplus=False, status=Status.SUCCEEDED)
    return Counter(dict(earlier.values_list("capture__intent").annotate(Sum("amount")).order_by()))


def _open_refunds(refund_ids: Collection[object]) -> QuerySet[Refund]:
    refunds = Refund.objects.filter(pk__in=list(refund_ids), status__in=Refund.OPEN)
    return refunds.select_related("capture__intent").order_by("pk")


def _captures(intents: Sequence[PaymentIntent]) -> list[Capture]:
    return list(Capture.objects.filter(intent__in=intents).select_related("intent").order_by("pk"))


def _is_final(reply: Reply) -> bool:
    return isinstance(reply, Answer) and reply.outcome in {Outcome.SUCCEEDED, Outcome.DECLINED}


def _refund(refund: Refund) -> Answer:
    request = RefundRequest(
        idempotency_key=str(refund.pk),
        charge_reference=refund.capture.reference,
        amount=refund.amount,
        currency=refund.capture.currency,
    )
    return protocol.at(refund.capture.intent.gateway).refund(request)


def _requested_event(refund: Refund) -> RefundRequested:
    return RefundRequested(order_id=_order_id(refund), refund_id=str(refund.pk))


def _refunded_event(refund: Refund, refunded: int) -> PaymentRefunded:
    intent = refund.capture.intent
    return PaymentRefunded(
        order_id=str(intent.order_id),
        refund_id=str(refund.pk),
        amount=refund.amount,
        currency=refund.capture.currency,
        email=intent.email,
        customer_id=intent.customer_id,
        reason="" if refund.reason == Refund.BY_THE_SHOP else refund.reason,
        surplus=refund.capture.surplus,
        number=intent.number,
        phone=intent.phone,
        language=intent.language,
        order_total=intent.amount,
        refunded=refunded,
        cause=refund.cause,
    )


def _anomaly_event(refund: Refund) -> PaymentAnomalyFound:
    return PaymentAnomalyFound(
        order_id=_order_id(refund),
        anomaly="refund_refused",
        amount=refund.amount,
        currency=refund.capture.currency,
        detail=refund.failure_reason,
        number=refund.capture.intent.number,
    )


def _order_id(refund: Refund) -> str:
    return str(refund.capture.intent.order_id)
