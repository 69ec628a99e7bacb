from collections.abc import Mapping
from datetime import timedelta
from uuid import UUID

import pytest
from django.test import Client
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from messaging.contracts import OrderPlaced
from messaging.models import Attempt, Delivery, OperatorPause, OutboxMessage, ReceiverState, SubscriberPause
from messaging.subscribers import all_subscribers, subscribers_of
from shop.monitoring import metrics
from tests.factories import ProductFactory, make_stock, place_order
from tests.outbox import counting_statements

pytestmark = pytest.mark.django_db

RESERVE = subscribers_of(OrderPlaced)[0].name
Samples = Mapping[tuple[str, ...], float]


@pytest.fixture(autouse=True)
def _product() -> None:
    """
    A product that is sold out, so that an order of it can be placed.
    """
    ProductFactory()


def samples_of(name: str) -> Samples:
    """
    Scrape the metrics, and return the values of a metric by the values of its labels.
    """
    return every_sample(metrics.render_metrics(timezone.now()).decode()).get(name, {})


def every_sample(exposition: str) -> Mapping[str, Samples]:
    """
    Return the values of each metric by the values of its labels, in the order of their names.
    """
    samples: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(exposition):
        for sample in family.samples:
            labels = tuple(value for _, value in sorted(sample.labels.items()))
            samples.setdefault(sample.name, {})[labels] = sample.value
    return samples


class TestExposition:
    def test_is_the_text_format(self):
        answer = Client().get("/metrics")

        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert every_sample(answer.content.decode())["shop_info"] == {("shop",): 1}

    def test_has_each_subscriber_also_without_deliveries(self):
        for name in ("oldest_due_seconds", "dead_letters", "delivered_last_minute", "failed_attempts"):
            assert samples_of(f"shop_{name}") == {(subscriber,): 0 for subscriber in all_subscribers()}

    def test_has_no_personal_data(self, drain):
        make_stock()
        order = place_order(email="quux+canary@mail.example.net", phone="+441134969999", note="zebra")
        drain()

        text = metrics.render_metrics(timezone.now()).decode()

        assert not any(word in text for word in ("canary", "1134969999", "zebra", str(order.pk), order.number))

    def test_is_read_by_a_constant_number_of_statements(self, drain):
        with counting_statements() as for_none:
            metrics.render_metrics(timezone.now())
        make_stock(100)
        for number in range(10):
            place_order(idempotency_key=f"order-{number}")
        drain()
        place_order(idempotency_key="another")
        with counting_statements() as for_many:
            metrics.render_metrics(timezone.now())

        assert len(for_none) == len(for_many) <= 13


class TestDeliveries:
    def test_that_are_pending_are_counted_by_subscriber_and_state(self):
        place_order()
        Delivery.objects.update(due_at=timezone.now() - timedelta(minutes=5))

        pending = samples_of("shop_pending_deliveries")

        assert [pending[state, RESERVE] for state in ("due", "claimed", "retrying", "delayed")] == [1, 0, 0, 0]
        assert 300 <= samples_of("shop_oldest_due_seconds")[(RESERVE,)] < 360

    def test_that_are_dead_are_counted_by_subscriber(self):
        place_order()
        Delivery.objects.filter(subscriber=RESERVE).update(status="dead")

        assert samples_of("shop_dead_letters")[(RESERVE,)] == 1

    def test_that_failed_are_counted_for_five_minutes(self):
        place_order()
        now = timezone.now()
        [delivery] = Delivery.objects.filter(subscriber=RESERVE)
        for minutes in (1, 4, 6):
            Attempt.objects.create(delivery=delivery, number=1, failed_at=now - timedelta(minutes=minutes), error="no")

        assert samples_of("shop_failed_attempts")[(RESERVE,)] == 2

    def test_have_their_latency_in_a_histogram(self, drain):
        place_order()
        drain()
        published = OutboxMessage.objects.get(type=OrderPlaced.type)
        handled = metrics.moment_of(published.pk) + timedelta(seconds=3)
        Delivery.objects.filter(message=published, subscriber=RESERVE).update(delivered_at=handled)

        buckets = samples_of("shop_delivery_latency_seconds_bucket")
        of_reserve = {bound: number for (bound, subscriber), number in buckets.items() if subscriber == RESERVE}

        assert {bound: of_reserve[bound] for bound in ("1.0", "2.5", "5.0", "+Inf")} == {
            "1.0": 0,
            "2.5": 0,
            "5.0": 1,
            "+Inf": 1,
        }
        assert samples_of("shop_delivery_latency_seconds_gsum")[(RESERVE,)] == pytest.approx(3, abs=0.001)

    def test_have_no_latency_after_five_minutes(self, drain):
        place_order()
        drain()

        later = metrics.render_metrics(timezone.now() + timedelta(minutes=6)).decode()

        assert "shop_delivery_latency_seconds_bucket" not in every_sample(later)

    def test_of_messages_with_ids_of_another_kind_have_no_latency(self):
        place_order()
        now = timezone.now()
        foreign = OutboxMessage.objects.create(
            id=UUID(int=2**128 - 1),
            type="x",
            version=1,
            key="x",
            payload="{}",
            correlation_id=UUID(int=1),
            published_at=now,
        )
        Delivery.objects.create(
            message=foreign, subscriber="x", key="x", due_at=now, status="delivered", delivered_at=now
        )

        assert "x" not in str(samples_of("shop_delivery_latency_seconds_bucket"))

    def test_are_read_up_to_a_limit(self, drain, monkeypatch):
        monkeypatch.setattr(metrics, "MOST_LATENCIES", 3)
        place_order()
        drain()

        assert sum(samples_of("shop_delivery_latency_seconds_gcount").values()) == 3


class TestWorkers:
    def test_are_counted_with_their_pauses(self, worker):
        assert samples_of("shop_workers") == {(): 1}

        until = timezone.now() + timedelta(seconds=20)
        SubscriberPause.objects.create(worker=worker, subscriber=RESERVE, until=until)

        paused = samples_of("shop_subscriber_paused")
        assert {subscriber for (subscriber,), is_paused in paused.items() if is_paused} == {RESERVE}

    def test_have_pauses_by_operators_beside_them(self):
        OperatorPause.objects.create(
            subscriber=RESERVE, reason="stocktaking", paused_by="olga", paused_at=timezone.now()
        )

        paused = samples_of("shop_subscriber_paused_by_operator")
        assert {subscriber for (subscriber,), is_paused in paused.items() if is_paused} == {RESERVE}
        assert samples_of("shop_subscriber_paused")[(RESERVE,)] == 0

    @pytest.mark.usefixtures("silent_broker")
    def test_have_receivers_and_a_broker_that_may_be_down(self, worker):
        ReceiverState.objects.create(worker=worker, status="disconnected", since=timezone.now())

        receivers = samples_of("shop_receivers")

        assert {state for (state,), number in receivers.items() if number} == {"disconnected"}
        assert samples_of("shop_broker_up") == {(): 0}
        assert samples_of("shop_broker_lag") == {}

    def test_have_no_broker_without_one(self):
        assert samples_of("shop_broker_up") == samples_of("shop_receivers") == {}


class TestOrders:
    def test_are_counted_by_state(self, drain):
        make_stock(1)
        for number in range(2):
            place_order(idempotency_key=f"order-{number}")
        drain()
        place_order(idempotency_key="order-2")

        assert samples_of("shop_open_orders") == {("awaiting_payment",): 0, ("placed",): 1}
        recent = {state: number for (state,), number in samples_of("shop_recent_orders").items() if number}
        assert recent == {"confirmed": 1, "cancelled": 1, "placed": 1}

    def test_are_recent_for_five_minutes(self):
        place_order()

        later = every_sample(metrics.render_metrics(timezone.now() + timedelta(minutes=6)).decode())

        assert set(later["shop_recent_orders"].values()) == {0}
        assert later["shop_open_orders"][("placed",)] == 1
