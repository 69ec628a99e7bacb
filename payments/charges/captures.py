"""
Captures: every movement of money is recorded once, whatever the status of its payment. The capture that an order
requested is kept while the order wants it; all others are refunded.
"""

import logging
from collections.abc import Iterable, Mapping
from datetime import datetime

from messaging.contracts import PaymentAnomalyFound
from messaging.kernel.databases import bulk_copy_instances
from messaging.outbox import publish_all
from payments import refunds
from payments.gateway.protocol import Answer, Money, Outcome
from payments.models import Capture, PaymentIntent, Refund
from payments.refunds import RefundReason

logger = logging.getLogger(__name__)

MISMATCH = "mismatch"
REFUND_REASONS = {
    MISMATCH: RefundReason(Refund.Cause.WRONG_AMOUNT, "not what the order costs"),
    "paid_twice": RefundReason(Refund.Cause.DOUBLE, "paid twice"),
    "paid_late": RefundReason(Refund.Cause.LATE, "paid when the order was over"),
}
"""By anomaly."""


def record_captures(answers: Mapping[PaymentIntent, Answer], *, now: datetime) -> None:
    """
    Record the money that was captured for these locked payments, each movement once, and request refunds of what their
    orders do not want.
    """
    captures = _new_captures(
        {intent: answer for intent, answer in answers.items() if _moved_money(answer, intent)}, now
    )
    if not captures:
        return
    bulk_copy_instances(captures)
    anomalies = {capture: _anomaly(capture) for capture in captures}
    for anomaly, reason in REFUND_REASONS.items():
        wrong = [capture for capture in captures if anomalies[capture] == anomaly]
        refunds.request(_whole(wrong), reason, now)
        publish_all([_anomaly_event(anomaly, capture) for capture in wrong])
    unwanted = [capture for capture in captures if capture.intent.withdrawn_at and not anomalies[capture]]
    refunds.request(_whole(unwanted), RefundReason(Refund.Cause.CANCELLED, "paid after the order was cancelled"), now)


def is_mismatch(answer: Answer, intent: PaymentIntent) -> bool:
    """
    Return whether another amount or currency was captured than the payment asks for.
    """
    return answer.outcome is Outcome.SUCCEEDED and _captured(answer, intent) != _requested(intent)


def _new_captures(answers: Mapping[PaymentIntent, Answer], now: datetime) -> list[Capture]:
    if not answers:
        return []
    recorded = Capture.objects.filter(intent_id__any=[intent.pk for intent in answers])
    references = set(recorded.values_list("intent", "reference"))
    paid = set(recorded.filter(surplus=False).values_list("intent", flat=True))
    return [
        _capture(intent, answer, now=now, is_paid=intent.pk in paid)
        for intent, answer in answers.items()
        if (intent.pk, answer.reference) not in references
    ]


def _moved_money(answer: Answer, intent: PaymentIntent) -> bool:
    return answer.outcome is Outcome.SUCCEEDED and _captured(answer, intent).amount > 0


def _requested(intent: PaymentIntent) -> Money:
    return Money(intent.amount, intent.currency)


def _captured(answer: Answer, intent: PaymentIntent) -> Money:
    return answer.captured or _requested(intent)


def _capture(intent: PaymentIntent, answer: Answer, *, now: datetime, is_paid: bool) -> Capture:
    money = _captured(answer, intent)
    # The capture that an open payment asks for is still to come: its own charge ends the payment before it is recorded.
    surplus = is_paid or intent.is_open or money != _requested(intent)
    return Capture(
        intent=intent,
        reference=answer.reference,
        amount=money.amount,
        currency=money.currency,
        surplus=surplus,
        captured_at=now,
    )


def _anomaly(capture: Capture) -> str:
    """
    Return what is wrong with a capture; empty if its order requested it and it was in time.
    """
    intent = capture.intent
    if Money(capture.amount, capture.currency) != _requested(intent):
        return MISMATCH
    if capture.surplus:
        return "paid_twice"
    return "" if intent.status == PaymentIntent.Status.SUCCEEDED else "paid_late"


def _anomaly_event(anomaly: str, capture: Capture) -> PaymentAnomalyFound:
    logger.error("%s: %s of order %s is refunded.", anomaly, capture, capture.intent.order_id)
    return PaymentAnomalyFound(
        order_id=str(capture.intent.order_id),
        anomaly=anomaly,
        amount=capture.amount,
        currency=capture.currency,
        detail=capture.reference,
        number=capture.intent.number,
    )


def _whole(captures: Iterable[Capture]) -> dict[Capture, int]:
    return {capture: capture.amount for capture in captures}
