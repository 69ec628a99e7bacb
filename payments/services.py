"""
Turning a requested amount into money, once, and having it refunded when nobody wants it any more.

The gateway is called outside of every transaction, many calls at a time, by keys stored before the call. What it
answers is applied in a transaction of its own, and only to payments that are still open.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from django.db import transaction

from messaging.contracts import PaymentFailed, PaymentRequested, PaymentSucceeded, PaymentUnsettled
from messaging.outbox import publish, publish_all
from messaging.subscribers import Permanent

from . import gateway, refunds
from .gateway import Answer, Charge, Outcome, Reply, TimedOut, Unreachable, call_all, insist_on
from .models import PaymentIntent

ASK_AGAIN_AFTER = [timedelta(seconds=seconds) for seconds in (5, 30, 120, 600, 3600)]

Replies = Mapping[str, Reply]
NOTHING_TO_PAY = Answer(outcome=Outcome.SUCCEEDED)

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

    :raises Unavailable: if the gateway could not be reached for one of them; the others are settled.
    """
    replies = _ask(gateway.current().charge, _open(requests, now))
    _apply(replies, now)
    insist_on({order_id: reply for order_id, reply in replies.items() if isinstance(reply, Unreachable)})


def ask_again(asked: Mapping[str, int], *, now: datetime) -> None:
    """
    Ask what became of payments whose answer was lost, and withdraw those that their order no longer wants.

    :param asked: which ask this is, by order id; one that is not the latest for its payment is left out.
    :raises Unavailable: if the gateway could not be reached for one of them; the others are settled.
    :raises PaymentUnknown: if there is no answer and this was the last ask.
    """
    intents = [intent for intent in _still_open(asked) if intent.asks == asked[str(intent.order_id)]]
    replies = _ask(gateway.current().look_up, [intent for intent in intents if not intent.withdrawn_at])
    replies |= _ask(_withdraw, [intent for intent in intents if intent.withdrawn_at])
    _apply(replies, now)
    insist_on({order_id: reply for order_id, reply in replies.items() if isinstance(reply, Unreachable)})
    lost = [order_id for order_id, reply in replies.items() if isinstance(reply, TimedOut)]
    if any(asked[order_id] >= len(ASK_AGAIN_AFTER) for order_id in lost):
        raise PaymentUnknown(f"The gateway never said what became of the payment of order {', '.join(lost)}.")


def settle_overdue(dues: Mapping[str, Due], *, now: datetime) -> None:
    """
    End payments whose time is up: captured after all, or withdrawn at the gateway and failed as expired.

    :param dues: by order id.
    :raises Unavailable: if the gateway did not answer for one of them; the others are settled.
    """
    _expire_unasked(dues, now)
    replies = _ask(_withdraw, _still_open(dues))
    _apply({order_id: reply for order_id, reply in replies.items() if isinstance(reply, Answer)}, now)
    insist_on({order_id: reply for order_id, reply in replies.items() if not isinstance(reply, Answer)})


@transaction.atomic
def stop(dues: Mapping[str, Due], *, now: datetime) -> None:
    """
    Stop wanting the money of cancelled orders whose payment was requested: refund what was captured, withdraw what is
    on its way.

    :param dues: by order id.
    """
    intents = PaymentIntent.objects.locked(dues)
    left = refunds.refundable(intents)
    refunds.request({intent: left[intent] for intent in intents if left[intent]}, "order cancelled", now)
    open_intents = [intent for intent in intents if intent.is_open]
    for intent in open_intents:
        intent.withdrawn_at = now
        intent.asks += 1
    PaymentIntent.objects.write_back(open_intents)
    publish_all([_unsettled(intent) for intent in open_intents])
    _never_open({order_id: dues[order_id] for order_id in dues.keys() - _order_ids(intents)}, now, withdrawn_at=now)


@transaction.atomic
def _open(requests: Sequence[PaymentRequested], now: datetime) -> list[PaymentIntent]:
    """
    Store an intent for each request before anybody is called, and return those to charge.
    """
    PaymentIntent.objects.bulk_create([_intent(request, now) for request in requests], ignore_conflicts=True)
    intents = PaymentIntent.objects.locked(request.order_id for request in requests)
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
    PaymentIntent.objects.bulk_create(
        [PaymentIntent(order_id=order_id, **asdict(due), **ended) for order_id, due in sorted(dues.items())]
    )


def _still_open(order_ids: Iterable[str]) -> list[PaymentIntent]:
    return list(PaymentIntent.objects.filter(order_id__in=list(order_ids), status__in=PaymentIntent.OPEN))


def _ask(call: Callable[[Charge], Answer], intents: Sequence[PaymentIntent]) -> dict[str, Reply]:
    """
    Ask the gateway about these payments at once; a payment of nothing is settled without asking.
    """
    asked = [intent for intent in intents if intent.amount]
    replies = dict(zip([str(intent.order_id) for intent in asked], call_all(call, map(_charge, asked)), strict=True))
    return replies | {str(intent.order_id): NOTHING_TO_PAY for intent in intents if not intent.amount}


def _withdraw(charge: Charge) -> Answer:
    """
    Cancel a charge at the gateway; to say that it is still being processed answers nothing.

    :raises TimedOut: if the gateway has not decided whether it is cancelled or captured.
    """
    answer = gateway.current().cancel(charge)
    if answer.outcome is Outcome.PROCESSING:
        raise TimedOut("The gateway neither cancelled nor captured it yet.")
    return answer


@transaction.atomic
def _apply(replies: Replies, now: datetime) -> None:
    """
    Bring what the gateway said to the payments that are still open, and announce it.
    """
    open_intents = [intent for intent in PaymentIntent.objects.locked(replies) if intent.is_open]
    answered: dict[object, list[PaymentIntent]] = defaultdict(list)
    for intent in open_intents:
        reply = replies[str(intent.order_id)]
        intent.provider_reference = reply.reference if isinstance(reply, Answer) else ""
        answered[reply.outcome if isinstance(reply, Answer) else type(reply)].append(intent)
    _succeed(answered[Outcome.SUCCEEDED], now)
    _fail(answered[Outcome.DECLINED])
    _cancel(answered[Outcome.CANCELLED])
    PaymentIntent.move_to(Status.PROCESSING, _now_unknown(answered[Outcome.PROCESSING]))
    _doubt(answered[TimedOut], now)
    PaymentIntent.objects.write_back(open_intents)


def _succeed(intents: Sequence[PaymentIntent], now: datetime) -> None:
    PaymentIntent.move_to(Status.SUCCEEDED, intents)
    publish_all(
        [
            PaymentSucceeded(order_id=str(intent.order_id), amount=intent.amount, currency=intent.currency)
            for intent in intents
        ]
    )
    unwanted = {intent: intent.amount for intent in intents if intent.withdrawn_at and intent.amount}
    refunds.request(unwanted, "paid after the order was cancelled", now)


def _fail(intents: Sequence[PaymentIntent]) -> None:
    PaymentIntent.move_to(Status.FAILED, intents)
    publish_all([PaymentFailed(order_id=str(intent.order_id), reason="declined") for intent in intents])


def _cancel(intents: Sequence[PaymentIntent]) -> None:
    PaymentIntent.move_to(Status.CANCELLED, intents)
    overdue = [intent for intent in intents if not intent.withdrawn_at]
    publish_all([PaymentFailed(order_id=str(intent.order_id), reason="expired") for intent in overdue])


def _doubt(intents: Sequence[PaymentIntent], now: datetime) -> None:
    """
    Note that the answer was lost, and come back to ask, unless that was the last ask.
    """
    PaymentIntent.move_to(Status.UNKNOWN, [intent for intent in intents if intent.status == Status.PROCESSING])
    for intent in intents:
        if intent.asks < len(ASK_AGAIN_AFTER):
            intent.asks += 1
            publish(_unsettled(intent), at=now + ASK_AGAIN_AFTER[intent.asks - 1])


def _now_unknown(intents: Iterable[PaymentIntent]) -> list[PaymentIntent]:
    return [intent for intent in intents if intent.status == Status.UNKNOWN]


def _intent(request: PaymentRequested, now: datetime) -> PaymentIntent:
    return PaymentIntent(
        order_id=request.order_id,
        amount=request.amount,
        currency=request.currency,
        payment_method=request.payment_method,
        email=request.email,
        customer_id=request.customer_id,
        created_at=now,
    )


def _charge(intent: PaymentIntent) -> Charge:
    return Charge(
        idempotency_key=str(intent.pk),
        amount=intent.amount,
        currency=intent.currency,
        payment_method=intent.payment_method,
    )


def _unsettled(intent: PaymentIntent) -> PaymentUnsettled:
    return PaymentUnsettled(order_id=str(intent.order_id), ask=intent.asks)


def _order_ids(intents: Iterable[PaymentIntent]) -> set[str]:
    return {str(intent.order_id) for intent in intents}
