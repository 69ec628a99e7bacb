"""
Counting, when all is quiet, what was lost, doubled or put out of order.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping

from django.db.models import Count, Q, QuerySet, Sum
from django.utils import timezone

from inventory.models import StockItem, StockMovement
from messaging.models import Attempt, Delivery, OutboxMessage
from notifications.models import Notification
from orders.models import HistoryEntry, Order, OrderLine

STORIES = {
    ("placed", "awaiting_payment", "confirmed"),
    ("placed", "awaiting_payment", "confirmed", "refunded"),
    ("placed", "awaiting_payment", "cancelled"),
    ("placed", "cancelled"),
}
SAID_OFTEN = (
    "payments.payment_unsettled",
    "payments.webhook_received",
    "inventory.stock_depleted",
    "inventory.stock_replenished",
)
SAID_OF_PARTS = ("payments.refund_requested", "payments.payment_refunded", "payments.payment_anomaly_found")
"""An order may have several of these, each about something else."""
NOTIFIABLE = (
    "orders.order_confirmed",
    "orders.order_cancelled",
    "payments.payment_refunded",
    "payments.payment_anomaly_found",
)


def findings(expected: Mapping[str, tuple[str, str]]) -> dict[str, int]:
    """
    Count what is wrong, by kind.

    :param expected: status and cancel reason by order id.
    """
    return disorder() | {
        "orders lost, doubled or ended wrongly": _wrong_ends(expected),
        "deliveries given up": Delivery.objects.dead().count(),
    }


def disorder() -> dict[str, int]:
    """
    Count what is wrong whatever the orders' ends are, by kind.
    """
    return {
        "stories with a step too many, too few or in disorder": _wrong_stories(),
        "facts announced twice": _announced_twice(),
        "lines not shipped exactly once": _wrong_shipments(),
        "products miscounted": _miscounted(),
        "people not told exactly once": _told_wrongly(),
        "deliveries out of order": _out_of_order(),
    }


def are_ready() -> bool:
    """
    Tell whether every order met its end and everything is delivered.
    """
    return is_quiet() and not Order.objects.filter(status__in=Order.OPEN).exists()


def is_quiet() -> bool:
    """
    Tell whether nothing is to be delivered before a later moment that was asked for.
    """
    later = Q(delayed=True, due_at__gt=timezone.now())
    return not Delivery.objects.filter(~later, status=Delivery.Status.PENDING).exists()


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
    whole = OutboxMessage.objects.exclude(type__in=SAID_OFTEN + SAID_OF_PARTS).values("type", "key")
    parts = OutboxMessage.objects.filter(type__in=SAID_OF_PARTS).values("type", "key", "payload")
    return sum(facts.annotate(times=Count("pk")).filter(times__gt=1).count() for facts in (whole, parts))


def _wrong_shipments() -> int:
    confirmed = OrderLine.objects.filter(order__status__in=[Order.Status.CONFIRMED, Order.Status.REFUNDED])
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

    What waits for a moment, or for a person, may be overtaken: asks for a payment that is unknown, and webhooks that
    were parked or disputed.
    """
    waited = Q(subscriber="payments.ask_again") | Q(message__payload__contains='"parking_is_over":true')
    delivered = Delivery.objects.filter(status=Delivery.Status.DELIVERED).exclude(waited | Q(pk__in=_disputed()))
    latest: dict[tuple[str, str], object] = {}
    found = 0
    for subscriber, key, at in delivered.order_by("id").values_list("subscriber", "key", "delivered_at"):
        found += at < latest.get((subscriber, key), at)
        latest[subscriber, key] = at
    return found


def _disputed() -> QuerySet:
    return Attempt.objects.filter(error_class="WebhookDisputed").values("delivery")
