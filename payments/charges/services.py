"""
Charges: collecting the amount that an order requests, once, and withdrawing it when its order is over.

The gateway is called outside of every transaction, many calls at a time, with keys stored before the call. Its replies
are applied in a transaction of their own.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from django.conf import settings
from django.db import transaction

from messaging.backoff import PAYMENT_QUERY_DELAYS
from messaging.contracts import PaymentFailed, PaymentRequested
from messaging.outbox import publish_all
from messaging.subscribers import Permanent
from payments import refunds
from payments.gateway.calls import gateway_is_down, group_replies, pause_if_down, raise_unavailable
from payments.gateway.protocol import Reply
from payments.models import PaymentIntent, Refund
from payments.refunds import RefundReason
from payments.webhooks import inbox

from .gateway_queries import charge, query_gateway, resolve, withdraw
from .outcomes import apply_replies, payment_unsettled

Status = PaymentIntent.Status


@dataclass(frozen=True)
class Due:
    """
    The amount that an order is to be paid with, in minor units, and its customer.
    """

    amount: int
    currency: str
    customer_id: str


class PaymentUnknown(Permanent):
    """
    The gateway did not return the state of a payment to any query. Look it up at the gateway by the payment's id, then
    replay this delivery: it queries the gateway once more.
    """


def collect(requests: Sequence[PaymentRequested], *, now: datetime) -> None:
    """
    Charge each order's amount. Call it outside a transaction; it may be called again for the same request.

    :raises PartlyUnavailable: if the gateway could not be reached for some of them; the others are done.
    :raises OutageObserved: if the gateway answered none of several; all are done.
    """
    replies = query_gateway(charge, _open(requests, now))
    apply_replies(replies, now=now)
    _raise_if_unreached(replies)
    pause_if_down(replies.values())


def ask_again(asks: Mapping[str, int], *, now: datetime) -> None:
    """
    Query the gateway again about open payments, and withdraw those that their orders no longer want.

    :param asks: the number of this query by order id; outdated ones are skipped.
    :raises PartlyUnavailable: if the gateway could not be reached for some of them; the others are done.
    :raises PaymentUnknown: if there is no answer to the last query about a payment.
    """
    intents = [intent for intent in _still_open(asks) if intent.asks == asks[str(intent.order_id)]]
    replies = query_gateway(resolve, intents)
    apply_replies(replies, now=now)
    _raise_if_unreached(replies)
    unknown = group_replies(replies).unknown
    exhausted = {order_id: replies[order_id] for order_id in unknown if asks[order_id] >= len(PAYMENT_QUERY_DELAYS)}
    if gateway_is_down(replies.values()):
        raise_unavailable(exhausted)  # an outage does not count as the last query
    pause_if_down(replies.values())
    if exhausted:
        raise PaymentUnknown(f"The gateway never returned the state of the payments of orders {', '.join(exhausted)}.")


def settle_overdue(dues: Mapping[str, Due], *, now: datetime) -> None:
    """
    End overdue payments: captured after all, or withdrawn at the gateway and failed as expired.

    :param dues: by order id.
    :raises PartlyUnavailable: if the gateway did not answer for some of them; the others are done.
    :raises NotReady: if the gateway has not decided on some of them yet; the others are done.
    """
    _expire_unopened(dues, now)
    replies = query_gateway(withdraw, _still_open(dues))
    answers = group_replies(replies).answers
    apply_replies(answers, now=now)
    raise_unavailable({order_id: reply for order_id, reply in replies.items() if order_id not in answers})


@transaction.atomic
def stop(dues: Mapping[str, Due], *, now: datetime) -> None:
    """
    End the payments of cancelled orders: refund what was captured, and have what is open withdrawn.

    :param dues: by order id, of orders whose payment was requested.
    """
    intents = PaymentIntent.objects.locked(dues)
    refunds.request_rest(intents, RefundReason(Refund.Cause.CANCELLED, "order cancelled"), now)
    open_intents = [intent for intent in intents if intent.is_open]
    for intent in open_intents:
        intent.withdrawn_at = now
        intent.asks += 1
    PaymentIntent.objects.write_back(open_intents)
    publish_all([payment_unsettled(intent) for intent in open_intents])
    _cancel_unopened(
        {order_id: dues[order_id] for order_id in dues.keys() - _order_ids(intents)}, now, withdrawn_at=now
    )


@transaction.atomic
def _open(requests: Sequence[PaymentRequested], now: datetime) -> list[PaymentIntent]:
    """
    Store an intent for each request before the gateway is called, and return those to charge.
    """
    PaymentIntent.objects.bulk_create([_intent(request, now) for request in requests], ignore_conflicts=True)
    intents = PaymentIntent.objects.locked(request.order_id for request in requests)
    inbox.unpark(intents)
    PaymentIntent.move_to(Status.PROCESSING, [intent for intent in intents if intent.status == Status.CREATED])
    return [intent for intent in intents if intent.status == Status.PROCESSING and not intent.withdrawn_at]


@transaction.atomic
def _expire_unopened(dues: Mapping[str, Due], now: datetime) -> None:
    """
    Fail the payments that were never opened.
    """
    unopened = dues.keys() - _order_ids(PaymentIntent.objects.locked(dues))
    _cancel_unopened({order_id: dues[order_id] for order_id in unopened}, now, withdrawn_at=None)
    publish_all([PaymentFailed(order_id=order_id, reason="expired") for order_id in sorted(unopened)])


def _cancel_unopened(dues: Mapping[str, Due], now: datetime, *, withdrawn_at: datetime | None) -> None:
    """
    Store cancelled intents, so that a request that arrives later charges nothing.
    """
    end = {"status": Status.CANCELLED, "withdrawn_at": withdrawn_at, "created_at": now}
    intents = [PaymentIntent(order_id=order_id, **asdict(due), **end) for order_id, due in sorted(dues.items())]
    PaymentIntent.objects.bulk_create(intents)
    inbox.unpark(intents)


def _raise_if_unreached(replies: Mapping[str, Reply]) -> None:
    raise_unavailable({order_id: replies[order_id] for order_id in group_replies(replies).unreached})


def _still_open(order_ids: Iterable[str]) -> list[PaymentIntent]:
    return list(PaymentIntent.objects.filter(order_id__any=order_ids, status__in=PaymentIntent.OPEN))


def _intent(request: PaymentRequested, now: datetime) -> PaymentIntent:
    return PaymentIntent(
        order_id=request.order_id,
        amount=request.amount,
        currency=request.currency,
        payment_method=request.payment_method,
        email=request.email,
        customer_id=request.customer_id,
        number=request.number,
        phone=request.phone,
        language=request.language,
        gateway=settings.PAYMENTS.gateway,
        created_at=now,
    )


def _order_ids(intents: Iterable[PaymentIntent]) -> set[str]:
    return {str(intent.order_id) for intent in intents}
