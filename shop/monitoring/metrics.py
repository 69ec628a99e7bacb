"""
Metrics in the text format of Prometheus, read from the database when they are scraped.

So every process of a service gives the same answer, and nothing is counted in memory: Prometheus may scrape any web
process of a service. All metrics are gauges, because rows are pruned.
"""

import math
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from django.apps import apps
from django.conf import settings
from django.db.models import Count, Q
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeHistogramMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from messaging.kernel.ids import lowest_id, moment_of
from messaging.models import Attempt, Delivery, ReceiverState
from messaging.status import BrokerStatus, OutboxStatus, SubscriberStatus, outbox_status
from shop.monitoring.catalogue import CATALOGUE, MOST_ATTEMPTS, MOST_LATENCIES, MOST_OPEN_ORDERS, WINDOW

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
        yield InfoMetricFamily("shop", CATALOGUE["shop_info"].about, {"service": settings.SERVICE.name})
        yield _number("shop_workers", status.workers)
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


def _gauge(name: str, numbers: Mapping[str, float] | Mapping[tuple[str, ...], float]) -> Metric:
    """
    Return a metric of the catalogue with these numbers by the values of its labels.
    """
    metric = GaugeMetricFamily(name, CATALOGUE[name].about, labels=CATALOGUE[name].labels)
    for values, number in numbers.items():
        metric.add_metric([values] if isinstance(values, str) else values, number)
    return metric


def _number(name: str, number: float) -> Metric:
    """
    Return a metric of the catalogue that has no labels.
    """
    return GaugeMetricFamily(name, CATALOGUE[name].about, number)


def _histogram(name: str, seconds_by_labels: Mapping[tuple[str, ...], Sequence[float]]) -> Metric:
    """
    Return a metric of the catalogue with these durations by the values of its labels.
    """
    metric = GaugeHistogramMetricFamily(name, CATALOGUE[name].about, labels=CATALOGUE[name].labels)
    for values, seconds in sorted(seconds_by_labels.items()):
        metric.add_metric(values, list(_cumulated(seconds)), sum(seconds))
    return metric


def _of_subscribers(subscribers: Sequence[SubscriberStatus]) -> Iterator[Metric]:
    pending: dict[tuple[str, ...], float] = {
        (each.name, state): getattr(each, state) for each in subscribers for state in PENDING
    }
    yield _gauge("shop_pending_deliveries", pending)
    yield _gauge("shop_oldest_due_seconds", {each.name: max(0.0, each.oldest_due_seconds or 0) for each in subscribers})
    yield _gauge("shop_dead_letters", {each.name: each.dead for each in subscribers})
    yield _gauge("shop_delivered_last_minute", {each.name: each.delivered_last_minute for each in subscribers})
    yield _gauge("shop_subscriber_paused", {each.name: int(each.paused_until is not None) for each in subscribers})
    yield _gauge("shop_subscriber_paused_by_operator", {each.name: int(bool(each.paused_by)) for each in subscribers})


def _latencies(now: datetime) -> Metric:
    """
    Return the time from commit to handled, of the newest messages of the last minutes that are delivered. The moment of
    a message is read from its id, so that one index has everything but the end.
    """
    # The ids of messages from other systems may be of another kind, and seem to be of the future.
    recent = Q(message_id__gte=lowest_id(now - WINDOW), message_id__lt=lowest_id(now + WINDOW))
    newest = Delivery.objects.filter(recent, delivered_at__isnull=False).order_by("-message_id")
    latencies: dict[tuple[str, ...], list[float]] = defaultdict(list)
    rows = newest.values_list("subscriber", "message_id", "delivered_at")[:MOST_LATENCIES]
    for subscriber, message_id, delivered_at in rows:
        took = delivered_at - moment_of(message_id)  # type: ignore[operator]  # not None by the filter
        latencies[subscriber,].append(max(0.0, took.total_seconds()))
    return _histogram("shop_delivery_latency_seconds", latencies)


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
    return _gauge("shop_failed_attempts", {each.name: 0 for each in status.subscribers} | failed)


def _of_broker(broker: BrokerStatus) -> Iterator[Metric]:
    yield _number("shop_broker_up", int(not broker.error))
    if broker.lag is not None:
        yield _number("shop_broker_lag", broker.lag)
    states = Counter(receiver.state for receiver in broker.receivers)
    yield _gauge(
        "shop_receivers", {state: states[state] for state in (*ReceiverState.Status.values, ReceiverState.DEAD)}
    )


def _of_orders(now: datetime) -> Iterator[Metric]:
    from orders.models import Order  # not installed in every service

    still_open = Order.objects.filter(status__in=Order.OPEN).values_list("status", flat=True)[:MOST_OPEN_ORDERS]
    yield _gauge("shop_open_orders", dict.fromkeys(sorted(map(str, Order.OPEN)), 0) | Counter(still_open))
    recent = Order.objects.filter(pk__gte=lowest_id(now - WINDOW)).values_list("status").annotate(Count("pk"))
    yield _gauge("shop_recent_orders", dict.fromkeys(Order.Status.values, 0) | dict(recent.order_by()))


def _of_the_gateway(now: datetime) -> Metric:
    from payments.models import GatewayCall  # not installed in every service

    recent = GatewayCall.objects.filter(pk__gte=lowest_id(now - WINDOW)).order_by("-pk")
    seconds_by_labels: dict[tuple[str, ...], list[float]] = defaultdict(list)
    for name, outcome, milliseconds in recent.values_list("name", "outcome", "milliseconds")[:MOST_LATENCIES]:
        seconds_by_labels[name, outcome].append(milliseconds / 1000)
    return _histogram("shop_gateway_call_seconds", seconds_by_labels)


def _of_audits(now: datetime) -> Iterator[Metric]:
    from shop.operations.audit import RULES  # not installed in every service
    from shop.operations.models import AuditRun, AuditViolation

    last = AuditRun.objects.order_by("-pk").values("started_at", "seconds").first()
    age = max(0.0, (now - last["started_at"]).total_seconds()) if last else math.inf
    yield _number("shop_audit_age_seconds", age)
    yield _number("shop_audit_duration_seconds", last["seconds"] if last else 0)
    counted = AuditViolation.objects.values_list("rule").annotate(Count("pk")).order_by()
    yield _gauge("shop_audit_violations", dict.fromkeys(RULES, 0) | dict(counted))
