"""Counts what was lost, duplicated or reordered, once everything is delivered."""

from collections import Counter, defaultdict
from collections.abc import Mapping

from django.db.models import Count, Q, QuerySet, Sum
from django.utils import timezone

from inventory.models import StockItem, StockMovement
from messaging.models import Attempt, Delivery, OutboxMessage
from messaging.sending import TRANSPORT
from notifications.models import Notification
from orders.models import HistoryEntry, Order, OrderLine

HISTORIES = {
    ("placed", "awaiting_payment", "confirmed"),
    ("placed", "awaiting_payment", "confirmed", "refunded"),
    ("placed", "awaiting_payment", "cancelled"),
    ("placed", "cancelled"),
}
REPEATABLE = (
    "messaging.delivery_died",
    "payments.payment_unsettled",
    "payments.webhook_received",
    "inventory.stock_depleted",
    "inventory.stock_replenished",
)
ONE_PER_PART = ("payments.refund_requested", "payments.payment_refunded", "payments.payment_anomaly_found")
"""An order may have several of these, with different payloads."""
NOTIFIABLE = (
    "orders.order_placed",
    "orders.order_confirmed",
    "orders.order_cancelled",
    "payments.payment_refunded",
    "payments.payment_anomaly_found",
)


MAY_BE_SUPPRESSED = ("payment_due_soon", "dead_letter")
"""A reminder of an order that has ended, and an alert of a failure that the operator was alerted of lately."""


def violations(expected: Mapping[str, tuple[str, str]]) -> dict[str, int]:
    """
    Return the number of violations by kind.

    :param expected: status and cancel reason by order id.
    """
    return violations_for_any_end() | {
        "orders lost, duplicated or ended wrongly": _wrong_ends(expected),
        "dead deliveries": Delivery.objects.dead().count(),
    }


def violations_for_any_end() -> dict[str, int]:
    """Return the number of violations by kind, of the rules that hold whichever way the orders end."""
    return {
        "histories with an impossible order of statuses": _wrong_histories(),
        "events published twice": _published_twice(),
        "lines not shipped exactly once": _wrong_shipments(),
        "stock items that differ from their movements": _wrong_stock(),
        "notifications not sent exactly once": _wrong_notifications(),
        "deliveries out of order": _out_of_order(),
    }


def all_ended() -> bool:
    """Return whether every order ended and everything is delivered."""
    return all_delivered() and not Order.objects.filter(status__in=Order.OPEN).exists()


def all_delivered() -> bool:
    """Return whether no delivery is pending, except those delayed until later."""
    later = Q(delayed=True, due_at__gt=timezone.now())
    return not Delivery.objects.filter(~later, status=Delivery.Status.PENDING).exists()


def _wrong_ends(expected: Mapping[str, tuple[str, str]]) -> int:
    ends = {
        str(pk): (status, reason) for pk, status, reason in Order.objects.values_list("pk", "status", "cancel_reason")
    }
    return sum(ends.get(order_id) != expected.get(order_id) for order_id in ends.keys() | expected.keys())


def _wrong_histories() -> int:
    histories: dict[object, tuple[str, ...]] = defaultdict(tuple)
    for order_id, status in HistoryEntry.objects.order_by("id").values_list("order_id", "status"):
        histories[order_id] += (status,)
    return sum(history not in HISTORIES for history in histories.values())


def _published_twice() -> int:
    whole = OutboxMessage.objects.exclude(type__in=REPEATABLE + ONE_PER_PART).values("type", "key")
    parts = OutboxMessage.objects.filter(type__in=ONE_PER_PART).values("type", "key", "payload")
    return sum(events.annotate(times=Count("pk")).filter(times__gt=1).count() for events in (whole, parts))


def _wrong_shipments() -> int:
    confirmed = OrderLine.objects.filter(order__status__in=[Order.Status.CONFIRMED, Order.Status.REFUNDED])
    sold = Counter(
        (order, sku, -quantity) for order, sku, quantity in confirmed.values_list("order_id", "sku", "quantity")
    )
    shipped = StockMovement.objects.filter(kind=StockMovement.MovementKind.SHIPPED)
    left = Counter(shipped.values_list("order_id", "sku", "quantity"))
    return ((sold - left) + (left - sold)).total()


def _wrong_stock() -> int:
    ledger = dict(StockMovement.objects.values_list("sku").annotate(Sum("quantity")))
    items = StockItem.objects.values_list("sku", "on_hand", "reserved")
    return sum((on_hand, reserved) != (ledger.get(sku, 0), 0) for sku, on_hand, reserved in items)


def _wrong_notifications() -> int:
    due = Counter(OutboxMessage.objects.filter(type__in=NOTIFIABLE).values_list("pk", flat=True))
    accepted = Notification.objects.filter(status=Notification.Status.ACCEPTED).exclude(kind__in=MAY_BE_SUPPRESSED)
    sent = Counter(accepted.values_list("message_id", flat=True))
    return ((due - sent) + (sent - due)).total()


def _out_of_order() -> int:
    """
    Return how many deliveries were delivered before an earlier one of the same subscriber and key.

    Those that wait for a later moment or for a person may be overtaken: queries for a payment whose outcome is unknown,
    and webhooks that were parked or disputed. So may events for other services that were published for later.
    """
    waited = Q(subscriber__in=["payments.ask_again", TRANSPORT]) | Q(
        message__payload__contains='"parking_is_over":true'
    )
    delivered = Delivery.objects.filter(status=Delivery.Status.DELIVERED).exclude(waited | Q(pk__in=_disputed()))
    latest: dict[tuple[str, str], object] = {}
    overtaken = 0
    for subscriber, key, at in delivered.order_by("id").values_list("subscriber", "key", "delivered_at"):
        overtaken += at < latest.get((subscriber, key), at)
        latest[subscriber, key] = at
    return overtaken


def _disputed() -> QuerySet:
    return Attempt.objects.filter(error_class="WebhookDisputed").values("delivery")
