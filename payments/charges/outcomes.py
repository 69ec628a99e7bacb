"""
Settlement: asking the gateway about payments, and bringing what it answers to our books.

Every answer comes this way, whoever asked and why. It moves only payments that are still open. Money that came is
booked whatever became of its payment: what the order asked for is kept while it wants it, and all else goes back.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TypeGuard

from django.db import transaction

from messaging.contracts import PaymentAnomalyFound, PaymentFailed, PaymentSucceeded, PaymentUnsettled
from messaging.outbox import publish_all
from payments import refunds
from payments.gateway import protocol
from payments.gateway.calls import call_all
from payments.gateway.protocol import Answer, Charge, Money, Outcome, Reply, TimedOut, Undecided
from payments.models import Capture, PaymentIntent

logger = logging.getLogger(__name__)

ASK_AGAIN_AFTER = [timedelta(seconds=seconds) for seconds in (5, 30, 120, 600, 3600)]

Replies = Mapping[str, Reply]
"""What came back from a call, by order id."""

MISMATCH = "mismatch"
REASONS = {
    MISMATCH: "not what the order costs",
    "paid_twice": "paid twice",
    "paid_late": "paid when the order was over",
}
"""Why money goes back, by what was wrong with it; the customer reads it."""

NOTHING_TO_PAY = Answer(outcome=Outcome.SUCCEEDED)

Status = PaymentIntent.Status


def charge(intent: PaymentIntent) -> Answer:
    """
    Have the gateway capture a payment, or say what became of it.

    :raises TimedOut: if it answers as if it had not been asked.
    """
    answer = protocol.at(intent.gateway).charge(charge_of(intent))
    if answer.outcome is Outcome.ABSENT:
        raise TimedOut("The gateway knows nothing of what it was just asked to charge.")
    return answer


def look_up_or_charge(intent: PaymentIntent) -> Answer:
    """
    Ask what became of a charge; one that the gateway never heard of is made now, by the same key.
    """
    answer = protocol.at(intent.gateway).look_up(charge_of(intent))
    return charge(intent) if answer.outcome is Outcome.ABSENT else answer


def withdraw(intent: PaymentIntent) -> Answer:
    """
    Cancel a charge at the gateway; to say that it is still being processed, or was never heard of, answers nothing.

    :raises Undecided: if the gateway has not decided whether it is cancelled or captured.
    """
    answer = protocol.at(intent.gateway).cancel(charge_of(intent))
    if answer.outcome in {Outcome.PROCESSING, Outcome.ABSENT}:
        raise Undecided("The gateway neither cancelled nor captured it yet.")
    return answer


def settle_up(intent: PaymentIntent) -> Answer:
    """
    Ask what a payment needs: what became of one that is wanted, and the end of one that is not.
    """
    return look_up_or_charge(intent) if intent.is_wanted else withdraw(intent)


def ask(question: Callable[[PaymentIntent], Answer], intents: Sequence[PaymentIntent]) -> dict[str, Reply]:
    """
    Ask the gateway about these payments at once; a payment of nothing is settled without asking.
    """
    asked = [intent for intent in intents if intent.amount]
    replies = dict(zip([str(intent.order_id) for intent in asked], call_all(question, asked), strict=True))
    return replies | {str(intent.order_id): NOTHING_TO_PAY for intent in intents if not intent.amount}


@transaction.atomic
def apply(replies: Replies, *, now: datetime) -> None:
    """
    Bring what the gateway said to these orders' payments, and announce it.
    """
    intents = PaymentIntent.objects.locked(replies)
    open_intents = [intent for intent in intents if intent.is_open]
    said: dict[object, list[PaymentIntent]] = defaultdict(list)
    for intent in open_intents:
        said[_note(intent, replies[str(intent.order_id)])].append(intent)
    _succeed(said[Outcome.SUCCEEDED])
    _fail(said[Outcome.DECLINED], "declined")
    _fail(said[MISMATCH], MISMATCH)
    _cancel(said[Outcome.CANCELLED])
    PaymentIntent.move_to(Status.PROCESSING, _unknown_ones(said[Outcome.PROCESSING]))
    _doubt([*said[TimedOut], *said[Undecided]], now)
    PaymentIntent.objects.write_back(open_intents)
    book(intents, replies, now=now)


def book(intents: Sequence[PaymentIntent], replies: Replies, *, now: datetime) -> None:
    """
    Book the money that came for these locked payments, each movement once, and give back what their orders do not want.
    """
    paying = {intent: reply for intent in intents if _brings_money(reply := replies[str(intent.order_id)], intent)}
    if not paying:
        return
    booked = Capture.objects.filter(intent__in=list(paying))
    known = set(booked.values_list("intent", "reference"))
    paid = set(booked.filter(surplus=False).values_list("intent", flat=True))
    captures = [
        _capture(intent, answer, now=now, again=intent.pk in paid)
        for intent, answer in paying.items()
        if (intent.pk, answer.reference) not in known
    ]
    Capture.objects.bulk_create(captures)
    anomalies = {capture: _anomaly(capture) for capture in captures}
    for anomaly, reason in REASONS.items():
        wrong = [capture for capture in captures if anomalies[capture] == anomaly]
        refunds.request({capture: capture.amount for capture in wrong}, reason, now)
        publish_all([_found(anomaly, capture) for capture in wrong])
    unwanted = [capture for capture in captures if capture.intent.withdrawn_at and not anomalies[capture]]
    refunds.request({capture: capture.amount for capture in unwanted}, "paid after the order was cancelled", now)


def charge_of(intent: PaymentIntent) -> Charge:
    """
    Write a payment down as the gateway knows it.
    """
    return Charge(
        idempotency_key=str(intent.pk),
        order_id=str(intent.order_id),
        amount=intent.amount,
        currency=intent.currency,
        payment_method=intent.payment_method,
        reference=intent.provider_reference,
        opened_at=intent.created_at,
    )


def unsettled(intent: PaymentIntent) -> PaymentUnsettled:
    """
    Say that a payment is to be asked about.
    """
    return PaymentUnsettled(order_id=str(intent.order_id), ask=intent.asks)


def _note(intent: PaymentIntent, reply: Reply) -> object:
    """
    Write down what an answer tells of a payment, and name what it comes to.
    """
    if not isinstance(reply, Answer):
        return type(reply)
    intent.provider_reference = reply.reference or intent.provider_reference
    intent.failure_reason, intent.page = reply.reason, reply.page
    differs = reply.outcome is Outcome.SUCCEEDED and _captured(reply, intent) != _asked(intent)
    return MISMATCH if differs else reply.outcome


def _succeed(intents: Sequence[PaymentIntent]) -> None:
    PaymentIntent.move_to(Status.SUCCEEDED, intents)
    publish_all(
        [
            PaymentSucceeded(order_id=str(intent.order_id), amount=intent.amount, currency=intent.currency)
            for intent in intents
        ]
    )


def _fail(intents: Sequence[PaymentIntent], reason: str) -> None:
    PaymentIntent.move_to(Status.FAILED, intents)
    publish_all(
        [
            PaymentFailed(order_id=str(intent.order_id), reason=reason, detail=intent.failure_reason)
            for intent in intents
        ]
    )


def _cancel(intents: Sequence[PaymentIntent]) -> None:
    PaymentIntent.move_to(Status.CANCELLED, intents)
    overdue = [intent for intent in intents if not intent.withdrawn_at]
    publish_all([PaymentFailed(order_id=str(intent.order_id), reason="expired") for intent in overdue])


def _doubt(intents: Sequence[PaymentIntent], now: datetime) -> None:
    """
    Note that the answer was lost, and come back to ask, unless that was the last ask.
    """
    PaymentIntent.move_to(Status.UNKNOWN, [intent for intent in intents if intent.status == Status.PROCESSING])
    again: dict[int, list[PaymentUnsettled]] = defaultdict(list)
    for intent in intents:
        if intent.asks < len(ASK_AGAIN_AFTER):
            intent.asks += 1
            again[intent.asks].append(unsettled(intent))
    for ask, events in again.items():
        publish_all(events, at=now + ASK_AGAIN_AFTER[ask - 1])


def _unknown_ones(intents: Iterable[PaymentIntent]) -> list[PaymentIntent]:
    return [intent for intent in intents if intent.status == Status.UNKNOWN]


def _brings_money(reply: Reply, intent: PaymentIntent) -> TypeGuard[Answer]:
    return isinstance(reply, Answer) and reply.outcome is Outcome.SUCCEEDED and _captured(reply, intent).amount > 0


def _asked(intent: PaymentIntent) -> Money:
    return Money(intent.amount, intent.currency)


def _captured(answer: Answer, intent: PaymentIntent) -> Money:
    return answer.captured or _asked(intent)


def _capture(intent: PaymentIntent, answer: Answer, *, now: datetime, again: bool) -> Capture:
    money = _captured(answer, intent)
    # Of an open payment, what was asked for is still to come: its own charge ends it before it is booked.
    surplus = again or intent.is_open or money != _asked(intent)
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
    Name what is wrong with money that came; empty if it is what its order asked for, and in time.
    """
    intent = capture.intent
    if Money(capture.amount, capture.currency) != _asked(intent):
        return MISMATCH
    if capture.surplus:
        return "paid_twice"
    return "" if intent.status == Status.SUCCEEDED else "paid_late"


def _found(anomaly: str, capture: Capture) -> PaymentAnomalyFound:
    logger.error("%s: %s of order %s goes back.", anomaly, capture, capture.intent.order_id)
    return PaymentAnomalyFound(
        order_id=str(capture.intent.order_id),
        anomaly=anomaly,
        amount=capture.amount,
        currency=capture.currency,
        detail=capture.reference,
    )
