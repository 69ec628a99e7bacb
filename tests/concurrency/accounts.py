"""
Counting, when all is quiet, what was lost, doubled or put out of order.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping

from django.db.models import Count, Sum

from inventory.models import StockItem, StockMovement
from messaging.models import Delivery, OutboxMessage
from notifications.models import Notification
from orders.models import HistoryEntry, Order, OrderLine
from tests.concurrency.torture import is_quiet

STORIES = {
    ("placed", "awaiting_payment", "confirmed"),
    ("placed", "awaiting_payment", "cancelled"),
    ("placed", "cancelled"),
}
SAID_OFTEN = ("payments.payment_unsettled", "inventory.stock_depleted", "inventory.stock_replenished")
NOTIFIABLE = ("orders.order_confirmed", "orders.order_cancelled", "payments.payment_refunded")


def findings(expected: Mapping[str, tuple[str, str]]) -> dict[str, int]:
    """
    Count what is wrong, by kind.

    :param expected: status and cancel reason by order id.
    """
    return {
        "orders lost, doubled or ended wrongly": _wrong_ends(expected),
        "stories with a step too many, too few or in disorder": _wrong_stories(),
        "facts announced twice": _announced_twice(),
        "lines not shipped exactly once": _wrong_shipments(),
        "products miscounted": _miscounted(),
        "customers not told exactly once": _told_wrongly(),
        "deliveries out of order": _out_of_order(),
        "deliveries given up": Delivery.objects.dead().count(),
    }


def are_ready() -> bool:
    """
    Tell whether every order met its end and everything is delivered.
    """
    moving = Order.objects.filter(status__in=[Order.Status.PLACED, Order.Status.AWAITING_PAYMENT])
    return is_quiet() and not moving.exists()


def _wrong_ends(expected: Mapping[str, tuple[str, str]]) -> int:
    ends = {
        str(pk): (status, reason) for pk, status, reason in Order.objects.values_list("pk", "status", "cancel_reason")
    }
    return sum(ends.get(order_id) != expected.get(order_id) for order_id in ends.keys() | expected.keys())


def _wrong_stories() -> int:
    stories: dict[object, tuple[str, ...]] = defaultdict(tuple)
    for order_id, status in HistoryEntry.objects.order_by("id").values_list("order_id", "status"):
        stories[order_id] += (status,)
    return sum(story not in STORIES for story in stories.values())


def _announced_twice() -> int:
    facts = OutboxMessage.objects.exclude(type__in=SAID_OFTEN).values("type", "key")
    return facts.annotate(times=Count("pk")).filter(times__gt=1).count()


def _wrong_shipments() -> int:
    confirmed = OrderLine.objects.filter(order__status=Order.Status.CONFIRMED)
    sold = Counter(
        (order, sku, -quantity) for order, sku, quantity in confirmed.values_list("order_id", "sku", "quantity")
    )
    shipped = StockMovement.objects.filter(kind=StockMovement.Kind.SHIPPED)
    left = Counter(shipped.values_list("order_id", "sku", "quantity"))
    return ((sold - left) + (left - sold)).total()


def _miscounted() -> int:
    ledger = dict(StockMovement.objects.values_list("sku").annotate(Sum("quantity")))
    items = StockItem.objects.values_list("sku", "on_hand", "reserved")
    return sum((on_hand, reserved) != (ledger.get(sku, 0), 0) for sku, on_hand, reserved in items)


def _told_wrongly() -> int:
    due = Counter(OutboxMessage.objects.filter(type__in=NOTIFIABLE).values_list("pk", flat=True))
    accepted = Notification.objects.filter(status=Notification.Status.ACCEPTED).exclude(kind="payment_due_soon")
    told = Counter(accepted.values_list("message_id", flat=True))
    return ((due - told) + (told - due)).total()


def _out_of_order() -> int:
    """
    Count the deliveries that were delivered before an earlier one of the same subscriber and key.

    Asks for a payment that is unknown are left out: they are delayed, so that later ones may overtake them.
    """
    delivered = Delivery.objects.filter(status="delivered").exclude(subscriber="payments.ask_again").order_by("id")
    latest: dict[tuple[str, str], object] = {}
    found = 0
    for subscriber, key, at in delivered.values_list("subscriber", "key", "delivered_at"):
        found += at < latest.get((subscriber, key), at)
        latest[subscriber, key] = at
    return found
