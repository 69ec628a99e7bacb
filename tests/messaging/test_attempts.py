import json

import pytest

from messaging.contracts import DeliveryDied, OrderCancelled, ProductAdded
from messaging.models import Delivery, OutboxMessage
from messaging.subscribers import Permanent
from tests.messaging.products import added, announce
from tests.outbox import announced, full_disk_at, published

pytestmark = pytest.mark.django_db

ORDER = "01900000-0000-7000-8000-000000000001"


class TestDeath:
    def test_is_published_without_what_the_message_contains(self, subscribe, relay):
        @subscribe(OrderCancelled)
        def tell(events):
            raise Permanent(f"no way to tell {events[0].email}")

        announce(
            OrderCancelled(
                order_id=ORDER,
                reason="expired",
                payment_requested=True,
                total=1,
                currency="GBP",
                email="ada@example.com",
                number="K7Q4-M2X0",
            )
        )
        relay.drain()

        delivery = Delivery.objects.get(subscriber="tests.tell")
        [death] = OutboxMessage.objects.filter(type=DeliveryDied.type)
        assert json.loads(death.payload) == {
            "delivery_id": str(delivery.pk),
            "message_id": str(delivery.message_id),
            "subscriber": "tests.tell",
            "event_type": "orders.order_cancelled",
            "message_key": ORDER,
            "order_id": ORDER,
            "number": "K7Q4-M2X0",
            "error_class": "Permanent",
            "fingerprint": delivery.fingerprint,
        }
        assert death.causation_id == delivery.message_id

    def test_of_an_announcement_of_a_death_is_not_published(self, subscribe, relay):
        @subscribe(ProductAdded, DeliveryDied)
        def tell(events):
            raise Permanent

        announce(added("RED-CHAIR"))
        relay.drain()

        assert relay.outcomes == {("tests.tell", "dead"): 2}
        assert announced() == {"messaging.delivery_died": 1, "orders.product_added": 1}

    def test_is_published_of_a_message_that_no_contract_describes(self, subscribe, relay):
        @subscribe(ProductAdded)
        def paint(events):
            pass

        announce(added("RED-CHAIR"))
        OutboxMessage.objects.update(type="orders.product_painted", payload="not JSON")
        relay.drain()

        [death] = published(DeliveryDied)
        assert (death.event_type, death.error_class) == ("orders.product_painted", "Undecodable")
        assert (death.message_key, death.order_id, death.number) == ("RED-CHAIR", "", "")

    def test_is_not_recorded_if_it_cannot_be_published(self, subscribe, relay):
        @subscribe(ProductAdded)
        def paint(events):
            raise Permanent

        announce(added("RED-CHAIR"))
        with full_disk_at("messaging_outboxmessage"), pytest.raises(Exception, match="The disk is full"):
            relay.drain()

        assert Delivery.objects.get().status == "pending"
