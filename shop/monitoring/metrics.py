"""
Metrics in the text format of Prometheus, read from the database when they are scraped.

So every process of a service gives the same answer, and nothing is counted in memory: Prometheus may scrape any web
process of a service. All metrics are gauges, because rows are pruned.
"""

import math
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from django.apps import apps
from django.conf import settings
from django.db.models import Count, Q
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeHistogramMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from messaging.kernel.ids import lowest_id, moment_of
from messaging.models import Attempt, Delivery, ReceiverState
from messaging.status import (
    MOST_DELIVERED,
    MOST_PENDING,
    BrokerStatus,
    OutboxStatus,
    SubscriberStatus,
    outbox_status,
)

WINDOW = timedelta(minutes=5)
"""What is recent: an index leads to the messages and orders of these minutes."""

MOST_LATENCIES, MOST_ATTEMPTS, MOST_OPEN_ORDERS = 5_000, 1_000, 10_000
"""How many rows a scrape reads at most, the newest ones. Beyond it the numbers stay as they are."""

BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Upper bounds of latencies in seconds."""

PENDING = ("due", "claimed", "retrying", "delayed")


class ShopCollector(Collector):
    """
    The metrics of this service at a moment.
    """

    def __init__(self, now: datetime) -> None:
        self._now = now

    def collect(self) -> Iterator[Metric]:
        """
        Read the metrics from the database.
        """
        status = outbox_status(self._now)
        yield InfoMetricFamily("shop", "The service that this process runs.", {"service": settings.SERVICE.name})
        yield GaugeMetricFamily("shop_workers", "Workers that run.", status.workers)
        yield from _of_subscribers(status.subscribers)
        yield _latencies(self._now)
        yield _failed_attempts(status, self._now)
        if status.broker:
            yield from _of_broker(status.broker)
        if apps.is_installed("orders"):
            yield from _of_orders(self._now)
        if apps.is_installed("payments"):
            yield _of_the_gateway(self._now)
        if apps.is_installed("shop.operations"):
            yield from _of_audits(self._now)


def render_metrics(now: datetime) -> bytes:
    """
    Return all metrics in the text format. This takes `messaging.status.LAG_SECONDS` more if the broker does not answer.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(ShopCollector(now))
    return generate_latest(registry)


def _of_subscribers(subscribers: Sequence[SubscriberStatus]) -> Iterator[Metric]:
    backlog = GaugeMetricFamily(
        "shop_pending_deliveries",
        "Deliveries that are pending: due, claimed by a worker, retrying later, or delayed by their publisher; at most"
        f" {MOST_PENDING} of each subscriber.",
        labels=["subscriber", "state"],
    )
    for subscriber in subscribers:
        for state in PENDING:
            backlog.add_metric([subscriber.name, state], getattr(subscriber, state))
    yield backlog
    yield _by_subscriber(
        "shop_oldest_due_seconds",
        "For how long the oldest delivery that is due has been due.",
        {each.name: max(0.0, each.oldest_due_seconds or 0) for each in subscribers},
    )
    yield _by_subscriber(
        "shop_dead_letters", "Dead letters, which wait for an operator.", {each.name: each.dead for each in subscribers}
    )
    yield _by_subscriber(
        "shop_delivered_last_minute",
        f"Deliveries in the last minute, at most {MOST_DELIVERED} of all subscribers.",
        {each.name: each.delivered_last_minute for each in subscribers},
    )
    yield _by_subscriber(
        "shop_subscriber_paused",
        "1 while the subscriber is paused, because the service that it calls is down.",
        {each.name: int(each.paused_until is not None) for each in subscribers},
    )
    yield _by_subscriber(
        "shop_subscriber_paused_by_operator",
        "1 while an operator has paused the subscriber.",
        {each.name: int(bool(each.paused_by)) for each in subscribers},
    )


def _by_subscriber(name: str, about: str, numbers: Mapping[str, float]) -> Metric:
    return _by_label("subscriber", name, about, numbers)


def _by_label(label: str, name: str, about: str, numbers: Mapping[str, float]) -> Metric:
    metric = GaugeMetricFamily(name, about, labels=[label])
    for value, number in numbers.items():
        metric.add_metric([value], number)
    return metric


def _latencies(now: datetime) -> Metric:
    """
    Return the time from commit to handled, of the newest messages of the last minutes that are delivered. The moment of
    a message is read from its id, so that one index has everything but the end.
    """
    # The ids of messages from other systems may be of another kind, and seem to be of the future.
    recent = Q(message_id__gte=lowest_id(now - WINDOW), message_id__lt=lowest_id(now + WINDOW))
    newest = Delivery.objects.filter(recent, delivered_at__isnull=False).order_by("-message_id")
    latencies = defaultdict(list)
    rows = newest.values_list("subscriber", "message_id", "delivered_at")[:MOST_LATENCIES]
    for subscriber, message_id, delivered_at in rows:
        took = delivered_at - moment_of(message_id)  # type: ignore[operator]  # not None by the filter
        latencies[subscriber].append(max(0.0, took.total_seconds()))
    histogram = GaugeHistogramMetricFamily(
        "shop_delivery_latency_seconds",
        f"Time from the commit of a message until it was handled, of the last {WINDOW.seconds // 60} minutes.",
        labels=["subscriber"],
    )
    for subscriber, seconds in sorted(latencies.items()):
        histogram.add_metric([subscriber], list(_cumulated(seconds)), sum(seconds))
    return histogram


def _cumulated(seconds: Iterable[float]) -> Iterator[tuple[str, float]]:
    """
    Yield the upper bound of each bucket, with how many of these durations are at most so long.
    """
    numbers, total = Counter(bisect_left(BUCKETS, duration) for duration in seconds), 0
    for index, bound in enumerate([*map(str, BUCKETS), "+Inf"]):
        total += numbers[index]
        yield bound, total


def _failed_attempts(status: OutboxStatus, now: datetime) -> Metric:
    newest = Attempt.objects.order_by("-pk").values_list("delivery__subscriber", "failed_at")[:MOST_ATTEMPTS]
    failed = Counter(subscriber for subscriber, failed_at in newest if failed_at > now - WINDOW)
    return _by_subscriber(
        "shop_failed_attempts",
        f"Failed attempts in the last {WINDOW.seconds // 60} minutes, at most {MOST_ATTEMPTS} of all subscribers.",
        dict.fromkeys([subscriber.name for subscriber in status.subscribers], 0) | failed,
    )


def _of_broker(broker: BrokerStatus) -> Iterator[Metric]:
    yield GaugeMetricFamily("shop_broker_up", "1 if the broker answers.", int(not broker.error))
    if broker.lag is not None:
        yield GaugeMetricFamily("shop_broker_lag", "Messages that wait at the broker for this service.", broker.lag)
    states = Counter(receiver.state for receiver in broker.receivers)
    yield _by_label(
        "state",
        "shop_receivers",
        "Receivers of messages from the broker, by their state.",
        {state: states[state] for state in (*ReceiverState.Status.values, ReceiverState.DEAD)},
    )


def _of_orders(now: datetime) -> Iterator[Metric]:
    from orders.models import Order  # not installed in every service

    still_open = Order.objects.filter(status__in=Order.OPEN).values_list("status", flat=True)[:MOST_OPEN_ORDERS]
    yield _by_label(
        "state",
        "shop_open_orders",
        f"Orders that have not ended, at most {MOST_OPEN_ORDERS} together.",
        dict.fromkeys(sorted(map(str, Order.OPEN)), 0) | Counter(still_open),
    )
    recent = Order.objects.filter(pk__gte=lowest_id(now - WINDOW)).values_list("status").annotate(Count("pk"))
    yield _by_label(
        "state",
        "shop_recent_orders",
        f"Orders of the last {WINDOW.seconds // 60} minutes, by their present state.",
        dict.fromkeys(Order.Status.values, 0) | dict(recent.order_by()),
    )


def _of_the_gateway(now: datetime) -> Metric:
    from payments.models import GatewayCall  # not installed in every service

    recent = GatewayCall.objects.filter(pk__gte=lowest_id(now - WINDOW)).order_by("-pk")
    seconds_by_labels = defaultdict(list)
    for name, outcome, milliseconds in recent.values_list("name", "outcome", "milliseconds")[:MOST_LATENCIES]:
        seconds_by_labels[name, outcome].append(milliseconds / 1000)
    histogram = GaugeHistogramMetricFamily(
        "shop_gateway_call_seconds",
        f"How long calls of the payment gateway took, of the last {WINDOW.seconds // 60} minutes.",
        labels=["call", "outcome"],
    )
    for labels, seconds in sorted(seconds_by_labels.items()):
        histogram.add_metric(labels, list(_cumulated(seconds)), sum(seconds))
    return histogram


def _of_audits(now: datetime) -> Iterator[Metric]:
    from shop.operations.audit import RULES  # not installed in every service
    from shop.operations.models import AuditRun, AuditViolation

    last = AuditRun.objects.order_by("-pk").values("started_at", "seconds").first()
    yield GaugeMetricFamily(
        "shop_audit_age_seconds",
        "Time since the last recorded audit began; +Inf if there was none.",
        max(0.0, (now - last["started_at"]).total_seconds()) if last else math.inf,
    )
    yield GaugeMetricFamily(
        "shop_audit_duration_seconds", "How long the last recorded audit took.", last["seconds"] if last else 0
    )
    counted = AuditViolation.objects.values_list("rule").annotate(Count("pk")).order_by()
    yield _by_label(
        "rule",
        "shop_audit_violations",
        "Violations of each rule that recorded audits found last, at most 1,000 of each.",
        dict.fromkeys(RULES, 0) | dict(counted),
    )
