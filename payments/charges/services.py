"""
Turning a requested amount into money, once, and stopping to want it when its order is over.

The gateway is called outside of every transaction, many calls at a time, by keys stored before the call. What it
answers is applied in a transaction of its own.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from django.conf import settings
from django.db import transaction

from messaging.contracts import PaymentFailed, PaymentRequested
from messaging.outbox import publish_all
from messaging.subscribers import Permanent
from payments import refunds
from payments.gateway.calls import insist_on, is_dead, pause_if_dead
from payments.gateway.protocol import Answer, TimedOut, Unreachable
from payments.models import PaymentIntent
from payments.webhooks import processing

from . import outcomes
from .outcomes import ASK_AGAIN_AFTER, apply, ask

Status = PaymentIntent.Status


@dataclass(frozen=True)
class Due:
    """
    What an order is to be paid with, in minor units, and by whom.
    """

    amount: int
    currency: str
    customer_id: str


class PaymentUnknown(Permanent):
    """
    The gateway did not say what became of a payment, however often it was asked. Look it up at the gateway by the
    payment's id, then replay this: it asks once more.
    """


def collect(requests: Sequence[PaymentRequested], *, now: datetime) -> None:
    """
    Charge each order's amount. Call it outside a transaction; it may be called again for the same request.

    :raises Unavailable: if the gateway could not be reached for one of them, or answered none; the others are settled.
    """
    replies = ask(outcomes.charge, _open(requests, now))
    apply(replies, now=now)
    insist_on({order_id: reply for order_id, reply in replies.items() if isinstance(reply, Unreachable)})
    pause_if_dead(replies.values())


def ask_again(asked: Mapping[str, int], *, now: datetime) -> None:
    """
    Ask what became of payments whose answer was lost, and withdraw those that their order no longer wants.

    :param asked: which ask this is, by order id; one that is not the latest for its payment is left out.
    :raises Unavailable: if the gateway could not be reached for one of them; the others are settled.
    :raises PaymentUnknown: if there is no answer and this was the last ask.
    """
    intents = [intent for intent in _still_open(asked) if intent.asks == asked[str(intent.order_id)]]
    replies = ask(outcomes.settle_up, intents)
    apply(replies, now=now)
    insist_on({order_id: reply for order_id, reply in replies.items() if isinstance(reply, Unreachable)})
    lost = {order_id: reply for order_id, reply in replies.items() if isinstance(reply, TimedOut)}
    given_up = {order_id: reply for order_id, reply in lost.items() if asked[order_id] >= len(ASK_AGAIN_AFTER)}
    if is_dead(replies.values()):
        insist_on(given_up)  # nobody is given up because of an outage
    pause_if_dead(replies.values())
    if given_up:
        raise PaymentUnknown(f"The gateway never said what became of the payment of order {', '.join(given_up)}.")


def settle_overdue(dues: Mapping[str, Due], *, now: datetime) -> None:
    """
    End payments whose time is up: captured after all, or withdrawn at the gateway and failed as expired.

    :param dues: by order id.
    :raises Unavailable: if the gateway did not answer for one of them; the others are settled.
    """
    _expire_unasked(dues, now)
    replies = ask(outcomes.withdraw, _still_open(dues))
    apply({order_id: reply for order_id, reply in replies.items() if isinstance(reply, Answer)}, now=now)
    insist_on({order_id: reply for order_id, reply in replies.items() if not isinstance(reply, Answer)})


@transaction.atomic
def stop(dues: Mapping[str, Due], *, now: datetime) -> None:
    """
    Stop wanting the money of cancelled orders whose payment was requested: refund what was captured, withdraw what is
    on its way.

    :param dues: by order id.
    """
    intents = PaymentIntent.objects.locked(dues)
    refunds.request_rest(intents, "order cancelled", now)
    open_intents = [intent for intent in intents if intent.is_open]
    for intent in open_intents:
        intent.withdrawn_at = now
        intent.asks += 1
    PaymentIntent.objects.write_back(open_intents)
    publish_all([outcomes.unsettled(intent) for intent in open_intents])
    _never_open({order_id: dues[order_id] for order_id in dues.keys() - _order_ids(intents)}, now, withdrawn_at=now)


@transaction.atomic
def _open(requests: Sequence[PaymentRequested], now: datetime) -> list[PaymentIntent]:
    """
    Store an intent for each request before anybody is called, and return those to charge.
    """
    PaymentIntent.objects.bulk_create([_intent(request, now) for request in requests], ignore_conflicts=True)
    intents = PaymentIntent.objects.locked(request.order_id for request in requests)
    processing.wake(intents)
    PaymentIntent.move_to(Status.PROCESSING, [intent for intent in intents if intent.status == Status.CREATED])
    return [intent for intent in intents if intent.status == Status.PROCESSING and not intent.withdrawn_at]


@transaction.atomic
def _expire_unasked(dues: Mapping[str, Due], now: datetime) -> None:
    """
    Fail the payments that were never even opened.
    """
    unasked = dues.keys() - _order_ids(PaymentIntent.objects.locked(dues))
    _never_open({order_id: dues[order_id] for order_id in unasked}, now, withdrawn_at=None)
    publish_all([PaymentFailed(order_id=order_id, reason="expired") for order_id in sorted(unasked)])


def _never_open(dues: Mapping[str, Due], now: datetime, *, withdrawn_at: datetime | None) -> None:
    """
    Record cancelled intents, so that a request that arrives after its end charges nobody.
    """
    ended = {"status": Status.CANCELLED, "withdrawn_at": withdrawn_at, "created_at": now}
    intents = [PaymentIntent(order_id=order_id, **asdict(due), **ended) for order_id, due in sorted(dues.items())]
    PaymentIntent.objects.bulk_create(intents)
    processing.wake(intents)


def _still_open(order_ids: Iterable[str]) -> list[PaymentIntent]:
    return list(PaymentIntent.objects.filter(order_id__in=list(order_ids), status__in=PaymentIntent.OPEN))


def _intent(request: PaymentRequested, now: datetime) -> PaymentIntent:
    return PaymentIntent(
        order_id=request.order_id,
        amount=request.amount,
        currency=request.currency,
        payment_method=request.payment_method,
        email=request.email,
        customer_id=request.customer_id,
        gateway=settings.PAYMENTS.gateway,
        created_at=now,
    )


def _order_ids(intents: Iterable[PaymentIntent]) -> set[str]:
    return {str(intent.order_id) for intent in intents}
