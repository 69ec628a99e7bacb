from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest
from django.db import transaction

from messaging.contracts import ProductAdded, StockDepleted, StockReplenished
from messaging.kernel.tracing import current_trace_id, current_traceparent, is_traceparent, trace_id_of, tracing
from messaging.models import Delivery, OutboxMessage
from messaging.outbox import NotInTransaction, context_of, message_of, publish, publish_all
from tests.messaging.products import added, announce
from tests.outbox import counting_statements

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def paint(events):
    pass


def varnish(events):
    pass


class TestPublish:
    @pytest.mark.django_db
    def test_writes_the_message_and_a_delivery_for_each_subscriber(self, subscribe):
        subscribe(ProductAdded)(paint)
        subscribe(ProductAdded, StockDepleted)(varnish)

        announce(added("RED-CHAIR", "Red chair"))

        message = OutboxMessage.objects.get()
        assert (message.type, message.version, message.key) == ("orders.product_added", 1, "RED-CHAIR")
        assert message.payload == '{"sku":"RED-CHAIR","name":"Red chair"}'
        assert list(
            Delivery.objects.order_by("id").values_list("message", "subscriber", "key", "status", "due_at", "delayed")
        ) == [
            (message.pk, "tests.paint", "RED-CHAIR", "pending", message.published_at, False),
            (message.pk, "tests.varnish", "RED-CHAIR", "pending", message.published_at, False),
        ]

    @pytest.mark.django_db
    def test_begins_a_trace_of_its_own_outside_of_any(self, subscribe):
        with tracing():
            announce(added("RED-CHAIR"))

        message = OutboxMessage.objects.get()
        assert (message.correlation_id, message.causation_id) == (message.pk, None)
        assert is_traceparent(message.traceparent)
        assert trace_id_of(message.traceparent) == message.pk.hex

    @pytest.mark.django_db(transaction=True)
    def test_raises_outside_a_transaction(self, subscribe):
        with pytest.raises(NotInTransaction, match=r"\['orders.product_added'\] inside transaction.atomic\(\)"):
            publish(added("RED-CHAIR"))

        assert not OutboxMessage.objects.exists()


class TestPublishAll:
    @pytest.mark.django_db
    def test_numbers_deliveries_in_the_order_of_the_events(self, subscribe):
        subscribe(ProductAdded)(paint)

        announce(*[added(f"CHAIR-{number}") for number in range(50)])

        keys = list(Delivery.objects.order_by("id").values_list("key", flat=True))
        assert keys == [f"CHAIR-{number}" for number in range(50)]
        assert keys == list(OutboxMessage.objects.order_by("id").values_list("key", flat=True))

    @pytest.mark.django_db
    def test_takes_no_statement_without_events(self, subscribe):
        with counting_statements() as statements, transaction.atomic():
            publish_all([])

        assert not [query["sql"] for query in statements if "messaging" in query["sql"]]


@pytest.mark.django_db
class TestCausation:
    def test_passes_to_the_messages_that_its_handling_publishes(self, subscribe, relay):
        @subscribe(ProductAdded)
        def deplete(events):
            publish_all([StockDepleted(sku=event.sku) for event in events])

        @subscribe(StockDepleted)
        def replenish(events):
            publish_all([StockReplenished(sku=event.sku) for event in events])

        with tracing(TRACEPARENT):
            announce(added("RED-CHAIR"), added("BLUE-CHAIR"))
        relay.drain()

        messages = {(message.key, message.type): message for message in OutboxMessage.objects.all()}
        for sku in ("RED-CHAIR", "BLUE-CHAIR"):
            first, second, third = (
                messages[sku, type_]
                for type_ in ("orders.product_added", "inventory.stock_depleted", "inventory.stock_replenished")
            )
            assert (second.causation_id, third.causation_id) == (first.pk, second.pk)
            assert (second.correlation_id, third.correlation_id) == (first.pk, first.pk)
            assert (second.traceparent, third.traceparent) == (TRACEPARENT, TRACEPARENT)

    @pytest.mark.parametrize(("skus", "is_known"), [(["RED-CHAIR"], True), (["RED-CHAIR", "BLUE-CHAIR"], False)])
    def test_of_an_event_with_another_key_is_known_if_one_message_is_handled(self, subscribe, relay, skus, is_known):
        @subscribe(ProductAdded)
        def deplete_chairs(events):
            publish(StockDepleted(sku="CHAIRS"))

        announce(*map(added, skus))
        relay.drain()

        effect, cause = OutboxMessage.objects.get(key="CHAIRS"), OutboxMessage.objects.get(key="RED-CHAIR")
        assert (effect.causation_id, effect.correlation_id) == ((cause.pk, cause.pk) if is_known else (None, effect.pk))

    def test_ends_with_the_handling(self, subscribe, relay):
        subscribe(ProductAdded)(paint)
        announce(added("RED-CHAIR"))
        relay.drain()

        announce(StockDepleted(sku="RED-CHAIR"))

        assert OutboxMessage.objects.get(type="inventory.stock_depleted").causation_id is None


@pytest.mark.django_db
class TestContextOf:
    def test_makes_a_thread_work_on_one_message_of_a_batch(self, subscribe, relay):
        traces: dict[str, str] = {}

        @subscribe(ProductAdded)
        def trace_each(events):
            contexts = {event.sku: context_of(event.sku) for event in events}
            with ThreadPoolExecutor() as pool:
                running = {sku: pool.submit(context.run, current_trace_id) for sku, context in contexts.items()}
            traces.update({sku: call.result() for sku, call in running.items()}, batch=current_trace_id())

        with tracing():
            announce(added("RED-CHAIR"), added("BLUE-CHAIR"))
        relay.drain()

        ids = {message.key: message.pk.hex for message in OutboxMessage.objects.all()}
        assert traces == ids | {"batch": "2 traces"}

    def test_is_the_current_context_for_a_key_that_is_not_in_the_batch(self):
        with tracing(TRACEPARENT):
            context = context_of("RED-CHAIR")

        assert context.run(current_traceparent) == TRACEPARENT


@pytest.mark.django_db
class TestMessageOf:
    def test_returns_the_message_of_the_event(self, subscribe, relay):
        messages: dict[str, UUID] = {}

        @subscribe(ProductAdded)
        def collect(events):
            messages.update({event.sku: message_of(event).message_id for event in events})

        announce(added("RED-CHAIR"), added("BLUE-CHAIR"))
        relay.drain()

        assert messages == dict(OutboxMessage.objects.values_list("key", "id"))
