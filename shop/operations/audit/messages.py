"""
Messages: every change is announced, every announcement is delivered, and every effect has its delivery.

These checks are SQL because they compare all changes with all messages in one grouped pass. Order ids are compared as
text without dashes, the form to which both databases can convert a UUID.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connections
from django.db.models import Exists, OuterRef, Q

from messaging import contracts
from messaging.claims import lease
from messaging.inbox import wanted_types
from messaging.kernel.databases import read_uuid
from messaging.models import Attempt, Delivery, OperatorPause, OutboxMessage
from messaging.sending import transport
from messaging.subscribers import all_subscribers

from .checks import LATE_AFTER, Check, Finding, retained_since

STEPS = "SELECT order_id, at FROM orders_historyentry WHERE status = '{}'"
CANCELLED_FOR = """
    SELECT order_id, at FROM orders_historyentry AS step JOIN orders_order ON orders_order.id = order_id
    WHERE step.status = 'cancelled' AND cancel_reason IN ({})
"""
INTENTS = "SELECT order_id, created_at AS at FROM payments_paymentintent"
REFUNDS = """
    SELECT order_id, requested_at AS at FROM payments_refund AS refund
    JOIN payments_capture AS capture ON capture.id = capture_id
    JOIN payments_paymentintent AS intent ON intent.id = intent_id
"""
PROMISES = """
    SELECT order_id, created_at AS at FROM inventory_reservation AS reservation
    WHERE status <> 'released'
    OR EXISTS (SELECT 1 FROM inventory_reservationline WHERE reservation_id = reservation.id)
"""
ENDED = "SELECT order_id, ended_at AS at FROM inventory_reservation WHERE status = '{}'"
NOTIFICATIONS = "SELECT order_id, created_at AS at FROM notifications_notification WHERE kind IN ({})"

ANNOUNCED_CHANGES: dict[type[contracts.Event], str] = {
    contracts.OrderPlaced: STEPS.format("placed"),
    contracts.PaymentRequested: STEPS.format("awaiting_payment"),
    contracts.PaymentDueSoon: STEPS.format("awaiting_payment"),
    contracts.PaymentOverdue: STEPS.format("awaiting_payment"),
    contracts.OrderConfirmed: STEPS.format("confirmed"),
    contracts.OrderCancelled: STEPS.format("cancelled"),
    contracts.StockReserved: PROMISES,
    contracts.PaymentSucceeded: f"{INTENTS} WHERE status = 'succeeded'",
    contracts.PaymentFailed: f"{INTENTS} WHERE status = 'failed' OR (status = 'cancelled' AND withdrawn_at IS NULL)",
    contracts.RefundRequested: REFUNDS,
    contracts.PaymentRefunded: f"{REFUNDS} WHERE refund.status = 'succeeded'",
}
"""The changes, as rows of order id and time, of which each must be announced by one event of this type."""

EFFECTS_OF = {
    "inventory.reserve_stock": PROMISES,
    "inventory.commit_reservation": ENDED.format("committed"),
    "inventory.release_stock": ENDED.format("released"),
    "orders.request_payment": STEPS.format("awaiting_payment"),
    "orders.confirm_order": STEPS.format("confirmed"),
    "orders.cancel_out_of_stock": CANCELLED_FOR.format("'out_of_stock'"),
    "orders.cancel_unpaid": CANCELLED_FOR.format("'payment_failed', 'expired'"),
    "orders.record_refund": "SELECT order_id, at FROM orders_orderrefund",
    "payments.take_payment": INTENTS,
    "payments.stop_payment": f"{INTENTS} WHERE withdrawn_at IS NOT NULL",
    "payments.send_refund": f"{REFUNDS} WHERE refund.status = 'succeeded'",
    "notifications.acknowledge_order": NOTIFICATIONS.format("'order_received'"),
    "notifications.send_confirmation": NOTIFICATIONS.format("'order_confirmed'"),
    "notifications.send_cancellation": NOTIFICATIONS.format(
        "'order_cancelled', 'out_of_stock', 'payment_failed', 'order_expired'"
    ),
    "notifications.send_reminder": NOTIFICATIONS.format("'payment_due_soon'"),
    "notifications.send_refund_notice": NOTIFICATIONS.format("'payment_refunded'"),
    "notifications.alert_operator": NOTIFICATIONS.format("'payment_anomaly'"),
}
"""The rows that deliveries to each subscriber write."""

ONE_OF = """
    SELECT '{name}' AS name, replace(CAST(order_id AS text), '-', '') AS order_key, at FROM ({rows}) AS source
"""

COUNT = "SELECT count(*) FROM ({changes}) AS changes"

MISSING_OR_REPEATED_EVENTS = """
    SELECT order_key FROM (
        SELECT name, order_key, 0 AS announced, CASE WHEN at >= %s THEN 1 ELSE 0 END AS due, 1 AS allowed
        FROM ({changes}) AS changes
        UNION ALL
        SELECT type, replace(key, '-', ''), 1, 0, 0 FROM messaging_outboxmessage WHERE type IN ({types})
    ) AS compared
    GROUP BY name, order_key HAVING sum(announced) < sum(due) OR sum(announced) > sum(allowed)
"""

EFFECTS_WITHOUT_DELIVERY = """
    SELECT order_key FROM (
        SELECT name, order_key FROM ({changes}) AS changes WHERE at >= %s
        EXCEPT
        SELECT subscriber, replace(key, '-', '') FROM messaging_delivery
        WHERE status = 'delivered' OR subscriber IN ({untransactional})
    ) AS unexplained
"""

MISSING_DELIVERIES = """
    WITH expected (type, subscriber) AS (VALUES {expected}),
    subscribed AS MATERIALIZED (
        SELECT type, subscriber, (
            SELECT published_at FROM messaging_delivery AS delivery
            JOIN messaging_outboxmessage AS message ON message.id = delivery.message_id
            WHERE delivery.subscriber = expected.subscriber AND message.type = expected.type
            ORDER BY delivery.id LIMIT 1
        ) AS since FROM expected
    )
    SELECT DISTINCT message.id FROM subscribed
    JOIN messaging_outboxmessage AS message
    ON message.type = subscribed.type AND message.published_at >= subscribed.since
    LEFT JOIN messaging_delivery AS delivery
    ON delivery.message_id = message.id AND delivery.subscriber = subscribed.subscriber
    WHERE delivery.id IS NULL AND message.published_at >= %s
"""


def every_change_is_announced(now: datetime) -> Finding:
    changes = _union({event.type: rows for event, rows in ANNOUNCED_CHANGES.items()}.items())
    sql = MISSING_OR_REPEATED_EVENTS.format(changes=changes, types=_quoted(event.type for event in ANNOUNCED_CHANGES))
    return Finding(_count(changes), _order_ids(sql, [_moment(retained_since(now))]))


def every_message_is_fanned_out(now: datetime) -> Finding:
    """
    Find messages without a delivery for a subscriber. Each subscriber counts from its first message of a type. What may
    have been received from other services is not sent on, so the transport does not count for it.
    """
    subscribers, received = all_subscribers(), wanted_types()
    pairs = [
        (event.type, subscriber.name)
        for subscriber in subscribers.values()
        for event in subscriber.events
        if subscriber.react is not transport or event.type not in received
    ]
    expected = ", ".join(f"({_quoted(pair)})" for pair in pairs)
    missing = map(read_uuid, _ids(MISSING_DELIVERIES.format(expected=expected), [_moment(retained_since(now))]))
    stray = Delivery.objects.filter(
        Q(status=Delivery.Status.PENDING) & ~Q(subscriber__in=subscribers) | ~Q(status__in=Delivery.Status.values)
    )
    return Finding(OutboxMessage.objects.count(), {*missing, *stray.values_list("message_id", flat=True)})


def no_effect_without_delivery(now: datetime) -> Finding:
    changes = _union(EFFECTS_OF.items())
    untransactional = [subscriber.name for subscriber in all_subscribers().values() if not subscriber.transactional]
    sql = EFFECTS_WITHOUT_DELIVERY.format(changes=changes, untransactional=_quoted(untransactional))
    return Finding(_count(changes), _order_ids(sql, [_moment(retained_since(now))]))


def no_delivery_is_overdue(now: datetime) -> Finding:
    """
    Find deliveries overdue by more than a lease, unless their subscriber is making progress, an operator has paused it,
    or an earlier one blocks.
    """
    earlier = Delivery.objects.filter(
        subscriber=OuterRef("subscriber"),
        key=OuterRef("key"),
        status=Delivery.Status.PENDING,
        delayed=False,
        id__lt=OuterRef("id"),
    )
    delivered_lately = Delivery.objects.filter(delivered_at__gte=now - lease()).values_list("subscriber", flat=True)
    failed_lately = Attempt.objects.filter(failed_at__gte=now - lease()).values_list("delivery__subscriber", flat=True)
    active = {*delivered_lately.distinct(), *failed_lately.distinct()}
    stalled = ~Q(subscriber__in=active) | Q(due_at__lt=now - LATE_AFTER)
    paused = OperatorPause.objects.values("subscriber")
    overdue = Delivery.objects.due(now - lease()).filter(stalled, ~Exists(earlier)).exclude(subscriber__in=paused)
    return Finding(Delivery.objects.count(), overdue)


def _union(sources: Iterable[tuple[str, str]]) -> str:
    return " UNION ALL ".join(ONE_OF.format(name=name, rows=rows) for name, rows in sources)


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def _moment(moment: datetime) -> Any:
    return connections[OutboxMessage.objects.db].ops.adapt_datetimefield_value(moment)


def _count(changes: str) -> int:
    (count,) = _ids(COUNT.format(changes=changes))
    return int(count)


def _order_ids(sql: str, parameters: Sequence[Any]) -> set[UUID]:
    return {UUID(key) for key in _ids(sql, parameters)}


def _ids(sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
    with connections[OutboxMessage.objects.db].cursor() as cursor:
        cursor.execute(sql, parameters)
        return [row[0] for row in cursor.fetchall()]


MESSAGE = "messaging_outboxmessage"

CHECKS = [
    Check(
        "M1",
        "every change is announced by exactly one event, and every event has its change",
        every_change_is_announced,
    ),
    Check("M2", "every message has a delivery for each of its subscribers", every_message_is_fanned_out, MESSAGE),
    Check("M3", "every effect has its delivery", no_effect_without_delivery),
    Check(
        "M4",
        "no delivery is overdue by more than a lease, unless its backlog makes progress or is paused",
        no_delivery_is_overdue,
        MESSAGE,
    ),
]
