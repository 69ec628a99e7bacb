"""
Compares the shop's records with the simulator's own ledger at the end of a run. An oracle: it uses nothing of
`payments.reconciliation` or `shop.operations.audit`.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Count, Min, Q, QuerySet

from messaging.contracts import decode
from messaging.models import Attempt, Delivery, OutboxMessage
from orders.models import Order
from payments.models import Capture, PaymentIntent, Refund, WebhookEvent
from tests.concurrency.customers import Customer, Operator
from tests.concurrency.ledger import CapturedMoney, SimulatorLedger

DISPUTED, UNMATCHED = "WebhookDisputed", "WebhookUnmatched"
DISPUTES = {"wrong_amount", "wrong_currency", "short_paid", "paid_otherwise"}
"""Faults whose callback claims another amount than the order costs."""

ENDINGS = ("payments.payment_succeeded", "payments.payment_failed", "orders.order_cancelled")
"""Events after which a payment has ended or is no longer wanted."""

EXPLAINED = {"PartlyUnavailable", "NotReady", "OutageObserved", DISPUTED, UNMATCHED, "IntegrityError"}
"""Why an attempt may fail: the gateway, a webhook with a wrong claim, or two transactions that collided."""

DROPPED = (
    "terminating connection due to administrator command",
    "consuming input failed: server closed the connection",
)
"""
How an error begins in a session that the fault `drop_connections` ends: what PostgreSQL says, or what the driver says
if the connection was closed before that was read.
"""

LATER = Q(subscriber="payments.ask_again", delayed=True)
"""Queries for unknown outcomes wait for minutes, though their payments have ended meanwhile."""


def is_over(ledger: SimulatorLedger) -> bool:
    """Return whether nothing is outstanding, neither at the gateway nor in the shop."""
    return ledger.is_idle() and not stuck() and ledger.is_idle()


def stuck() -> int:
    """Return how many rows are neither final nor delayed on purpose."""
    return sum(rows.count() for rows in unfinished())


def unfinished() -> Sequence[QuerySet]:
    """Return the rows of each model that are neither final nor delayed on purpose."""
    return (
        Delivery.objects.filter(status=Delivery.Status.PENDING).exclude(LATER),
        PaymentIntent.objects.filter(status__in=PaymentIntent.OPEN),
        Refund.objects.filter(status__in=Refund.OPEN),
        Order.objects.filter(status__in=Order.OPEN),
    )


@dataclass(frozen=True)
class DeadLetters:
    """The number of dead letters by error, by whether a fault of the gateway explains them."""

    expected: Counter[str]
    unexpected: Counter[str]


def dead_letters(ledger: SimulatorLedger) -> DeadLetters:
    """
    Count the dead letters. Each webhook about an unknown payment is one; a webhook that claims another amount is one at
    most once for its charge, and only if its payment was still open.
    """
    faulted, claimed = ledger.faulted(), Counter(_charges(DISPUTED))
    dead = Counter(Delivery.objects.dead().values_list("error_class", flat=True))
    disputed = sum(faulted.get(charge) in DISPUTES for charge in claimed)
    unmatched = min(dead[UNMATCHED], ledger.faults()["unknown_payment"])
    expected = Counter({DISPUTED: disputed, UNMATCHED: unmatched})
    missing = Counter({f"no {UNMATCHED}": ledger.faults()["unknown_payment"] - unmatched})
    return DeadLetters(+expected, (dead - expected) + missing)


def overlooked_disputes(ledger: SimulatorLedger) -> int:
    """
    Return how many webhooks claimed another amount than was asked for, and were processed while their payment was open.
    """
    wrong = [charge for charge, fault in ledger.faulted().items() if fault in DISPUTES]
    disputed = set(Attempt.objects.filter(error_class=DISPUTED).values_list("delivery__key", flat=True))
    claims = WebhookEvent.objects.filter(charge_key__in=wrong, outcome="succeeded").exclude(order_id__in=disputed)
    endings = OutboxMessage.objects.filter(type__in=ENDINGS).values_list("key")
    ended_at = dict(endings.annotate(Min("published_at")))
    processed = [(ended_at.get(str(claim.order_id)), claim.settled_at) for claim in claims]
    return sum(end is None or end > settled_at for end, settled_at in processed)


def failed_attempts() -> Mapping[str, int]:
    """Return how many attempts failed, by their error."""
    return dict(Attempt.objects.values_list("error_class").annotate(Count("pk")).order_by("error_class"))


def failed_without_reason(explained: Collection[str] = EXPLAINED) -> Counter[str]:
    """Return how many attempts failed for another reason than these, by subscriber and error."""
    unexplained = Attempt.objects.exclude(error_class__in=explained)
    for beginning in DROPPED:
        unexplained = unexplained.exclude(error__startswith=beginning)
    failures = unexplained.values_list("delivery__subscriber", "error")
    return Counter(f"{subscriber}: {error[:200]}" for subscriber, error in failures)


def lost(customer: Customer) -> int:
    """Return how many placed orders are missing or not final."""
    final = Order.objects.exclude(status__in=Order.OPEN).values_list("pk", flat=True)
    return len(customer.placed.keys() - set(map(str, final)))


def money_violations(customer: Customer, operator: Operator, ledger: SimulatorLedger) -> dict[str, int]:
    """
    Return the number of violations by kind: a confirmed order keeps exactly its total less what the operator refunded,
    and any other order keeps nothing.
    """
    orders, captures = list(Order.objects.all()), ledger.captures()
    ends = ledger.first_ends()
    return {
        "double charges": sum(sum(money.kept != 0 for money in of_order) > 1 for of_order in captures.values()),
        "orphan charges": _orphans(orders, captures),
        "money difference": sum(map(abs, _difference(orders, operator, ledger).values())),
        "orders that kept the wrong money": sum(
            _kept(captures.get(str(order.pk), [])) != +_due(order, operator) for order in orders
        ),
        "ends without a reason": sum(
            not _is_explained(order, customer, captures.get(str(order.pk), []), ends.get(str(order.pk), set()))
            for order in orders
        ),
        "orders refunded otherwise than granted": _misrefunded(orders, operator),
    }


def kept_money(ledger: SimulatorLedger) -> Counter[str]:
    """Return what the gateway keeps for the shop, in minor units by currency."""
    return sum((_kept(of_order) for of_order in ledger.captures().values()), Counter())


def refunds_by_status() -> Mapping[str, int]:
    return dict(Refund.objects.values_list("status").annotate(Count("pk")).order_by("status"))


def _difference(orders: Sequence[Order], operator: Operator, ledger: SimulatorLedger) -> Counter[str]:
    """Return by currency how much more the gateway keeps than confirmed orders cost."""
    difference = kept_money(ledger)
    for order in orders:
        difference.subtract(_due(order, operator))
    return difference


def _orphans(orders: Sequence[Order], captures: Mapping[str, Sequence[CapturedMoney]]) -> int:
    """Return how many captures are for no order of ours, or are missing or different in our records."""
    order_ids = {str(order.pk) for order in orders}
    rows = Capture.objects.values_list("intent__order_id", "reference", "amount", "currency", "returned")
    ours = {(str(order_id), *row) for order_id, *row in rows}
    theirs = {
        (money.order_id, money.reference, money.amount, money.currency, money.refunded)
        for of_order in captures.values()
        for money in of_order
    }
    return len(captures.keys() - order_ids) + len(theirs ^ ours)


def _kept(captures: Sequence[CapturedMoney]) -> Counter[str]:
    kept: Counter[str] = Counter()
    for money in captures:
        kept[money.currency] += money.kept
    return +kept


def _due(order: Order, operator: Operator) -> Counter[str]:
    """Return what an order has to keep, by currency."""
    is_sold = order.status in {Order.Status.CONFIRMED, Order.Status.REFUNDED}
    return Counter({order.currency: order.total - operator.granted[str(order.pk)] if is_sold else 0})


def _is_explained(order: Order, customer: Customer, captures: Sequence[CapturedMoney], ends: set[str]) -> bool:
    """Return whether the customer, or the gateway by the first end of a charge, gave a reason for this order's end."""
    order_id = str(order.pk)
    is_paid = any((money.amount, money.currency) == (order.total, order.currency) for money in captures)
    explained = {
        "": is_paid,
        Order.CancelReason.OUT_OF_STOCK: customer.placed.get(order_id) == "",
        Order.CancelReason.BY_CUSTOMER: order_id in customer.cancelled,
        Order.CancelReason.PAYMENT_FAILED: "declined" in ends or (bool(captures) and not is_paid),
        Order.CancelReason.EXPIRED: "captured" not in ends,
    }
    return order_id in customer.placed and explained.get(order.cancel_reason, False)


def _misrefunded(orders: Sequence[Order], operator: Operator) -> int:
    sold = [order for order in orders if order.status in {Order.Status.CONFIRMED, Order.Status.REFUNDED}]
    wrong = sum(order.refunded != operator.granted[str(order.pk)] for order in sold)
    return wrong + sum((order.status == Order.Status.REFUNDED) != (order.refunded == order.total) for order in sold)


def _charges(error: str) -> list[str]:
    """Return the charge of each dead letter with this error."""
    letters = Delivery.objects.matching(error=error).dead().select_related("message")
    webhooks = [decode(letter.message.type, letter.message.payload).webhook_id for letter in letters]
    charges = dict(WebhookEvent.objects.filter(pk__in=webhooks).values_list("pk", "charge_key"))
    return [charges[UUID(webhook)] for webhook in webhooks]
