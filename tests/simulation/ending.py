"""
The end of every run: everything comes to rest, and then all records must agree.
"""

from collections import Counter
from datetime import timedelta

from django.db.models import Max

from messaging.contracts import PaymentAnomalyFound
from messaging.models import Delivery
from notifications.models import Notification
from payments import reconciliation
from payments.differences import DifferenceKind
from payments.models import Refund
from shop.operations import audit
from shop.operations.audit import CheckResult, Verdict
from tests.outbox import published

from .books import FINAL, SOLD, Books, rows
from .simulated_shop import SimulatedShop

FINAL_DEAD_LETTERS = {"WebhookUnmatched"}
"""Dead letters that no replay can deliver."""

MAX_ROUNDS = 40


def violations(shop: SimulatedShop, books: Books) -> list[str]:
    """
    Audit the shop, and leave out what refused refunds explain: surplus money stays until the operator refunds it; and
    the captures that forged webhooks claimed, which the gateway does not have.
    """
    refused = {account.order_id for account in books.accounts if account.refused}
    forged = {f"missing instant-{account.key}" for account in books.accounts if account.is_forged}
    shop.statistics.audits += 1
    return [
        f"{result.id} ({result.rule}): {', '.join(result.examples)}"
        for result in audit.run(now=shop.clock()).results
        if result.verdict is Verdict.VIOLATION and not _is_explained(result, refused, forged)
    ]


def finish(shop: SimulatedShop, books: Books) -> None:
    """
    Let everything come to rest, and check that all records agree.
    """
    shop.provider.faults.clear()
    shop.process.clear_plans()
    _come_to_rest(shop)
    shop.reconcile()
    shop.replay()
    books.check()
    _refund_surplus(shop, books)
    _come_to_rest(shop)
    books.check()
    _check_orders(shop, books)
    _check_refunds(shop, books)
    _check_stock(books)
    _check_messages(shop)
    violated = violations(shop, books)
    assert not violated, violated


def _is_explained(result: CheckResult, refused: set[str], forged: set[str]) -> bool:
    """
    Return whether refused refunds, or forged captures, alone break a rule; O7 names currencies, not orders.
    """
    if result.id == "O8":
        return result.examples != [] and set(result.examples) <= forged
    orders = refused if result.id in {"O4", "O5"} else set(result.examples) if result.id == "O7" and refused else set()
    return result.examples != [] and set(result.examples) <= orders


def _come_to_rest(shop: SimulatedShop) -> None:
    """
    Deliver all webhooks and messages, and advance the clock until nothing is due any more.
    """
    for _ in range(MAX_ROUNDS):
        for webhook in shop.provider.undelivered:
            shop.deliver(webhook)
        shop.drain()
        due = Delivery.objects.filter(status=Delivery.Status.PENDING).aggregate(last=Max("due_at"))["last"]
        if not shop.provider.undelivered and not due:
            return
        if due:
            shop.clock.advance(max(due - shop.clock.moment, timedelta(seconds=1)))
    raise AssertionError(f"Still pending: {list(Delivery.objects.filter(status='pending').values())}")


def _refund_surplus(shop: SimulatedShop, books: Books) -> None:
    """
    Let the operator repeat the refused refunds of orders that have ended: first of surplus captures, then of the rest.
    """
    for order in books.orders.values():
        accounts = books.accounts_of(order.order_id)
        if order.status not in SOLD and any(account.balance for account in accounts):
            captured = sum(account.amount for account in accounts)
            assert shop.refund(order.order_id, None, captured=captured), f"Money of {order} cannot be refunded"
            shop.refund(order.order_id, None, captured=captured)


def _check_orders(shop: SimulatedShop, books: Books) -> None:
    for order in books.orders.values():
        accounts = books.accounts_of(order.order_id)
        balance = sum(account.balance for account in accounts)
        foreign = [account for account in accounts if not account.is_own] if order.status in SOLD else []
        refused = sum(sum(account.refused.values()) for account in foreign)
        assert order.status in FINAL, f"{order} never ends"
        unpaid = order.kept if books.is_forged(order) and not books.is_paid(order) else 0
        assert 0 <= balance + unpaid - order.kept <= refused, f"{balance} is kept of {order}: {accounts}"
        reason = f": {order.cancel_reason}" if order.cancel_reason else ""
        shop.statistics.count(f"order {order.status}{reason}")


def _check_refunds(shop: SimulatedShop, books: Books) -> None:
    still_open = list(Refund.objects.filter(status__in=Refund.OPEN))
    differences = reconciliation.compare(reconciliation.statement(None), since=None, before=shop.clock())
    assert not still_open, f"Refunds never end: {still_open}"
    forged = {account.order_id for account in books.accounts if account.is_forged and not account.captures}
    missing = {difference.order_id for difference in differences if difference.kind is DifferenceKind.MISSING}
    assert missing <= forged, f"The provider does not have captures for {missing - forged}"
    assert len(differences) == len(missing), f"Our books and the provider's differ: {differences}"
    reported = {event.order_id for event in published(PaymentAnomalyFound) if event.anomaly == "unconfirmed_capture"}
    assert missing <= reported, f"Captures for {missing - reported} are not confirmed, and the operator was not told"
    for _ in missing:
        shop.statistics.count("forged capture reported")


def _check_stock(books: Books) -> None:
    sold, left = books.quantities(SOLD), set(rows("sku, on_hand, reserved FROM inventory_stockitem"))
    expected = {(sku, opening - sold[sku], 0) for sku, opening in books.opening_stock.items()}
    assert left == expected, f"{left} are left, not {expected}"


def _check_messages(shop: SimulatedShop) -> None:
    letters = Counter(Delivery.objects.exclude(status=Delivery.Status.DELIVERED).values_list("error_class", flat=True))
    assert letters.keys() <= FINAL_DEAD_LETTERS, f"Dead letters: {letters}"
    accepted = Notification.objects.filter(status=Notification.Status.ACCEPTED)
    recorded = Counter(accepted.values_list("recipient", "subject", "body"))
    assert shop.process.mails - recorded - shop.process.excused_mails == Counter(), "Sent twice"
    assert recorded - shop.process.mails == Counter(), "Accepted, and never sent"
