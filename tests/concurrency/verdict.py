"""
The shop's books beside the simulator's own ledger, when all is over. Nothing here asks `payments.reconciliation`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Count, Min, Q

from messaging.contracts import decode
from messaging.models import Attempt, Delivery, OutboxMessage
from orders.models import Order
from payments.models import Capture, PaymentIntent, Refund, WebhookEvent
from tests.concurrency.ledger import Ledger, Money
from tests.concurrency.people import Customer, Operator

DISPUTED, UNMATCHED = "WebhookDisputed", "WebhookUnmatched"
DISPUTES = {"wrong_amount", "wrong_currency", "short_paid", "paid_otherwise"}
"""Faults whose callback claims another amount than the order costs."""

ENDINGS = ("payments.payment_succeeded", "payments.payment_failed", "orders.order_cancelled")
"""What is said when a payment ends, or is not wanted any more."""

EXPLAINED = {"PartlyUnavailable", "NotReady", "OutageObserved", DISPUTED, UNMATCHED, "IntegrityError"}
"""Why an attempt may fail: the gateway, a claim that is wrong, or two who met and of whom one begins anew."""

LATER = Q(subscriber="payments.ask_again", delayed=True)
"""Asks about payments that were in doubt wait for minutes, though these are settled meanwhile."""


def is_over(ledger: Ledger) -> bool:
    """
    Tell whether nothing will happen any more, with the gateway or with us.
    """
    return ledger.is_idle() and not stuck() and ledger.is_idle()


def stuck() -> int:
    """
    Count what is not final, and not delayed on purpose either.
    """
    waiting = Delivery.objects.filter(status=Delivery.Status.PENDING).exclude(LATER)
    intents = PaymentIntent.objects.filter(status__in=PaymentIntent.OPEN)
    refunds = Refund.objects.filter(status__in=Refund.OPEN)
    orders = Order.objects.filter(status__in=Order.OPEN)
    return sum(rows.count() for rows in (waiting, intents, refunds, orders))


@dataclass(frozen=True)
class DeadLetters:
    """
    What was given up, by whether a fault explains it.
    """

    expected: Counter[str]
    unexpected: Counter[str]


def dead_letters(ledger: Ledger) -> DeadLetters:
    """
    Count the dead letters by their error. A webhook about nobody's payment is one, each time; one that claims another
    amount at most once for its charge, and only if its payment was still open.
    """
    faulted, claimed = ledger.faulted(), Counter(_charges(DISPUTED))
    found = Counter(Delivery.objects.dead().values_list("error_class", flat=True))
    disputed = sum(faulted.get(charge) in DISPUTES for charge in claimed)
    unmatched = min(found[UNMATCHED], ledger.faults()["unknown_payment"])
    expected = Counter({DISPUTED: disputed, UNMATCHED: unmatched})
    missing = Counter({f"no {UNMATCHED}": ledger.faults()["unknown_payment"] - unmatched})
    return DeadLetters(+expected, (found - expected) + missing)


def overlooked_disputes(ledger: Ledger) -> int:
    """
    Count the webhooks that claimed another amount than was asked for, and were settled while their payment was open.
    """
    wrong = [charge for charge, fault in ledger.faulted().items() if fault in DISPUTES]
    disputed = set(Attempt.objects.filter(error_class=DISPUTED).values_list("delivery__key", flat=True))
    claims = WebhookEvent.objects.filter(charge_key__in=wrong, outcome="succeeded").exclude(order_id__in=disputed)
    said = OutboxMessage.objects.filter(type__in=ENDINGS).values_list("key")
    ended = dict(said.annotate(Min("published_at")))
    settled = [(ended.get(str(claim.order_id)), claim.settled_at) for claim in claims]
    return sum(end is None or end > settled_at for end, settled_at in settled)


def failures() -> Mapping[str, int]:
    """
    Count the attempts that failed, by their error.
    """
    return dict(Attempt.objects.values_list("error_class").annotate(Count("pk")).order_by("error_class"))


def lost(customer: Customer) -> int:
    """
    Count the orders that were placed and are not there, or not at their end.
    """
    final = Order.objects.exclude(status__in=Order.OPEN).values_list("pk", flat=True)
    return len(customer.placed.keys() - set(map(str, final)))


def wrongs_of_money(customer: Customer, operator: Operator, ledger: Ledger) -> dict[str, int]:
    """
    Count what is wrong with the money, by kind: a confirmed order has exactly its total, less what the operator gave
    back, and no other order has anything.
    """
    orders, captures = list(Order.objects.all()), ledger.captures()
    left = {order_id: [it for it in came if it.left] for order_id, came in captures.items()}
    gap = difference(orders, operator, ledger)
    ends = ledger.first_ends()
    return {
        "double charges": sum(len(staying) > 1 for staying in left.values()),
        "orphan charges": _orphans(orders, captures),
        "money difference": sum(map(abs, gap.values())),
        "orders that kept the wrong money": sum(
            _left(left.get(str(order.pk), [])) != +_due(order, operator) for order in orders
        ),
        "ends that nothing explains": sum(
            not _is_explained(order, customer, captures.get(str(order.pk), []), ends.get(str(order.pk), set()))
            for order in orders
        ),
        "orders refunded otherwise than granted": _misrefunded(orders, operator),
    }


def difference(orders: Sequence[Order], operator: Operator, ledger: Ledger) -> Counter[str]:
    """
    Tell by currency how much more stays with the gateway than confirmed orders keep.
    """
    gap = kept(ledger)
    for order in orders:
        gap.subtract(_due(order, operator))
    return gap


def kept(ledger: Ledger) -> Counter[str]:
    """
    Add up by currency what stays with the gateway, in minor units.
    """
    return sum((_left(came) for came in ledger.captures().values()), Counter())


def refunds_by_status() -> Mapping[str, int]:
    return dict(Refund.objects.values_list("status").annotate(Count("pk")).order_by("status"))


def _orphans(orders: Sequence[Order], captures: Mapping[str, Sequence[Money]]) -> int:
    """
    Count the charges for no order of ours, and those that our books lack or have otherwise.
    """
    ours = {str(order.pk) for order in orders}
    booked = Capture.objects.values_list("intent__order_id", "reference", "amount", "currency", "returned")
    known = {(str(order_id), *booking) for order_id, *booking in booked}
    came = [it for money in captures.values() for it in money]
    theirs = {(it.order_id, it.reference, it.amount, it.currency, it.returned) for it in came}
    return len(captures.keys() - ours) + len(theirs ^ known)


def _left(captures: Sequence[Money]) -> Counter[str]:
    left: Counter[str] = Counter()
    for money in captures:
        left[money.currency] += money.left
    return +left


def _due(order: Order, operator: Operator) -> Counter[str]:
    """
    Tell what an order has to keep, by currency.
    """
    is_sold = order.status in {Order.Status.CONFIRMED, Order.Status.REFUNDED}
    return Counter({order.currency: order.total - operator.granted[str(order.pk)] if is_sold else 0})


def _is_explained(order: Order, customer: Customer, came: Sequence[Money], ends: set[str]) -> bool:
    """
    Tell whether somebody, or the gateway by its first word, gave a reason for this order's end.
    """
    order_id = str(order.pk)
    is_paid = any((money.amount, money.currency) == (order.total, order.currency) for money in came)
    explained = {
        "": is_paid,
        Order.CancelReason.OUT_OF_STOCK: customer.placed.get(order_id) == "",
        Order.CancelReason.BY_CUSTOMER: order_id in customer.cancelled,
        Order.CancelReason.PAYMENT_FAILED: "declined" in ends or (bool(came) and not is_paid),
        Order.CancelReason.EXPIRED: "captured" not in ends,
    }
    return order_id in customer.placed and explained.get(order.cancel_reason, False)


def _misrefunded(orders: Sequence[Order], operator: Operator) -> int:
    sold = [order for order in orders if order.status in {Order.Status.CONFIRMED, Order.Status.REFUNDED}]
    wrong = sum(order.refunded != operator.granted[str(order.pk)] for order in sold)
    return wrong + sum((order.status == Order.Status.REFUNDED) != (order.refunded == order.total) for order in sold)


def _charges(error: str) -> list[str]:
    """
    List the charges that dead letters of this error are about, once for each of them.
    """
    letters = Delivery.objects.matching(error=error).dead().select_related("message")
    webhooks = [decode(letter.message.type, letter.message.payload).webhook_id for letter in letters]
    charges = dict(WebhookEvent.objects.filter(pk__in=webhooks).values_list("pk", "charge_key"))
    return [charges[UUID(webhook)] for webhook in webhooks]
