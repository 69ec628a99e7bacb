"""
Outcomes: every reply of the gateway about a charge of ours is applied to our books here.

Only open payments move. Captured money is recorded whatever the status of its payment (`captures`).
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime

from django.db import transaction

from messaging.backoff import PAYMENT_QUERY_DELAYS
from messaging.contracts import PaymentFailed, PaymentSucceeded, PaymentUnsettled
from messaging.outbox import publish_all
from payments.gateway.calls import group_replies
from payments.gateway.protocol import Answer, Outcome, Reply
from payments.models import PaymentIntent

from .captures import MISMATCH, is_mismatch, record_captures

Status = PaymentIntent.Status


@transaction.atomic
def apply_replies(replies: Mapping[str, Reply], *, now: datetime) -> None:
    """
    Apply the gateway's replies to the payments of these orders, and publish what they decide.

    :param replies: by order id.
    """
    replies_to = {intent: replies[str(intent.order_id)] for intent in PaymentIntent.objects.locked(replies)}
    _move({intent: reply for intent, reply in replies_to.items() if intent.is_open}, now)
    record_captures(group_replies(replies_to).answers, now=now)


def payment_unsettled(intent: PaymentIntent) -> PaymentUnsettled:
    """
    Return the event that has the gateway queried about a payment.
    """
    return PaymentUnsettled(order_id=str(intent.order_id), ask=intent.asks)


def _move(replies: Mapping[PaymentIntent, Reply], now: datetime) -> None:
    """
    Move open payments by the replies about them.
    """
    groups = group_replies(replies)
    for intent, answer in groups.answers.items():
        _write_details(intent, answer)
    mismatched = [intent for intent, answer in groups.answers.items() if is_mismatch(answer, intent)]
    _succeed([intent for intent in groups.answered(Outcome.SUCCEEDED) if intent not in mismatched])
    _fail(groups.answered(Outcome.DECLINED), "declined")
    _fail(mismatched, MISMATCH)
    _cancel(groups.answered(Outcome.CANCELLED))
    _resume(groups.answered(Outcome.PROCESSING))
    _mark_unknown(groups.unknown, now)
    PaymentIntent.objects.write_back(replies)


def _write_details(intent: PaymentIntent, answer: Answer) -> None:
    intent.provider_reference = answer.reference or intent.provider_reference
    intent.failure_reason, intent.page = answer.reason, answer.page


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


def _resume(intents: Sequence[PaymentIntent]) -> None:
    PaymentIntent.move_to(Status.PROCESSING, [intent for intent in intents if intent.status == Status.UNKNOWN])


def _mark_unknown(intents: Sequence[PaymentIntent], now: datetime) -> None:
    """
    Mark the state of these payments as unknown, and schedule the next query, unless the last one was made.
    """
    PaymentIntent.move_to(Status.UNKNOWN, [intent for intent in intents if intent.status == Status.PROCESSING])
    queries: dict[int, list[PaymentUnsettled]] = defaultdict(list)
    for intent in intents:
        if intent.asks < len(PAYMENT_QUERY_DELAYS):
            intent.asks += 1
            queries[intent.asks].append(payment_unsettled(intent))
    for ask, events in queries.items():
        publish_all(events, at=now + PAYMENT_QUERY_DELAYS[ask - 1])
