"""
What every transport does, over each broker.
"""

import signal
from collections.abc import Sequence
from dataclasses import replace

import pytest

from messaging import inbox, sending
from messaging.contracts import StockDepleted
from messaging.inbox import store
from messaging.models import Delivery, OutboxMessage
from messaging.relay import Relay
from messaging.subscribers import Unavailable
from messaging.transports.protocol import SET_SIZE, Outgoing, Received, connected, new_transport
from tests.messaging import products
from tests.messaging.concurrency import in_processes
from tests.messaging.products import announce, recorded
from tests.messaging.transports.killed_receiver import receive_and_be_killed
from tests.messaging.transports.messages import TYPE, added, names_by_sku, numbered, outgoing, receive
from tests.messaging.transports.traffic import receivers, recorded_by_sku, stored_by_sku
from tests.threads import workers
from tests.waiting import eventually

CATCH_UP_SECONDS = 600


def bodies(messages: Sequence[Received | Outgoing]) -> list[bytes]:
    return [message.body for message in messages]


class TestSend:
    def test_reaches_a_receiver_unchanged(self, sender, receiver):
        chair = added("RED-CHAIR", "Ein großer roter Stuhl")

        sender.send([chair])

        assert bodies(receive(receiver, 1)) == [chair.body]

    def test_is_kept_for_a_service_that_is_not_connected(self, connect, sender):
        connect(TYPE).close()
        chairs = numbered("RED-CHAIR", 3)

        sender.send(chairs)

        assert bodies(receive(connect(TYPE), 3)) == bodies(chairs)

    def test_reaches_each_service(self, connect, sender):
        services = [connect(TYPE, service=name) for name in ("inventory", "notifications")]
        chairs = numbered("RED-CHAIR", 3)

        sender.send(chairs)

        assert [bodies(receive(service, 3)) for service in services] == [bodies(chairs), bodies(chairs)]

    def test_reaches_only_services_that_want_the_type(self, connect, sender, receiver):
        suppliers = connect(StockDepleted.type, service="suppliers")
        chair, depleted = added("RED-CHAIR"), outgoing(StockDepleted(sku="RED-CHAIR"))

        sender.send([chair, depleted])

        assert bodies(receive(suppliers, 1)) == [depleted.body]
        assert bodies(receive(receiver, 1)) == [chair.body]
        assert [*suppliers.receive(timeout=0.1), *receiver.receive(timeout=0.1)] == []

    def test_carries_a_megabyte(self, sender, receiver):
        chair = added("RED-CHAIR", "x" * 1_000_000)

        sender.send([chair])

        assert bodies(receive(receiver, 1)) == [chair.body]

    def test_of_a_newer_release_reaches_a_service_that_was_rolled_back(self, connect, sender):
        connect(TYPE, "orders.order_shipped").close()
        older = connect(TYPE)
        shipped = Outgoing("orders.order_shipped", "RED-CHAIR", b"{}")

        sender.send([shipped])

        assert bodies(receive(older, 1)) == [shipped.body]


class TestReceive:
    def test_keeps_the_order_of_each_key(self, sender, receiver):
        skus = [f"CHAIR-{number}" for number in range(20)]
        for number in range(10):
            sender.send([added(sku, str(number)) for sku in skus])

        assert names_by_sku(receive(receiver, 200)) == {sku: [str(number) for number in range(10)] for sku in skus}

    def test_repeats_what_was_not_settled(self, connect, sender, receiver):
        chairs = numbered("RED-CHAIR", 5)
        sender.send(chairs)
        receive(receiver, 5, settle=False)

        receiver.close()

        assert bodies(receive(connect(TYPE), 5)) == bodies(chairs)

    def test_does_not_repeat_what_was_settled(self, connect, sender, receiver):
        sender.send(numbered("RED-CHAIR", 5))
        receive(receiver, 5)
        receiver.close()
        table = added("OLD-TABLE")

        sender.send([table])

        assert bodies(receive(connect(TYPE), 1)) == [table.body]

    def test_keeps_the_order_of_each_key_while_receivers_come_and_go(self, connect, sender):
        skus = [f"CHAIR-{number}" for number in range(10)]
        first, second = connect(TYPE), connect(TYPE)
        chairs = [added(sku, str(number)) for number in range(10) for sku in skus]
        sender.send(chairs)
        seen, again = receive(first, 1, settle=False), []

        first.close()
        # More than 100: a receiver that comes or goes has some of them sent again.
        eventually(lambda: again.extend(receive(second, 1)) or set(bodies(again)) == set(bodies(chairs)))

        names = names_by_sku(seen + again)
        assert {sku: list(dict.fromkeys(names[sku])) for sku in skus} == {
            sku: [str(number) for number in range(10)] for sku in skus
        }


class TestLag:
    def test_is_zero_for_a_service_that_nothing_was_sent_to(self, broker, receiver):
        assert new_transport(broker).lag() == 0
        assert new_transport(replace(broker, prefix=f"{broker.prefix}x")).lag() == 0

    def test_counts_what_was_sent_and_not_received(self, broker, connect, sender):
        connect(TYPE).close()
        waiting = new_transport(broker).lag
        sender.send([added(f"CHAIR-{number}") for number in range(20)])
        eventually(lambda: waiting() == 20)

        receive(connect(TYPE), 20)

        eventually(lambda: waiting() == 0)

    def test_counts_what_a_receiver_left_unsettled(self, broker, connect, sender):
        receiver = connect(TYPE)
        sender.send(numbered("RED-CHAIR", 5))
        receive(receiver, 5, settle=False)

        receiver.close()

        eventually(lambda: new_transport(broker).lag() == 5)

    def test_is_not_known_while_the_broker_is_down(self, broker, unreachable):
        with pytest.raises(Unavailable, match=r"at 127\.0\.0\.1:1 is not available"):
            new_transport(unreachable).lag()


@pytest.mark.django_db
class TestStore:
    @pytest.fixture(autouse=True)
    def _paint(self, paint):
        """A subscriber that records products."""

    def test_stores_a_message_once_that_was_sent_twice(self, sender, receiver):
        chair, table = added("RED-CHAIR"), added("OLD-TABLE")
        sender.send([chair, table])
        sender.send([chair, table])

        store(bodies(receive(receiver, 4)))
        Relay().drain()

        assert sorted(recorded()) == ["OLD-TABLE", "RED-CHAIR"]

    def test_leaves_a_poisonous_message_to_operators(self, sender, receiver, subscribe):
        inbox.register()
        chairs = numbered("RED-CHAIR", 2)
        sender.send([chairs[0]])
        sender.send([Outgoing(TYPE, "RED-CHAIR", b"\xff{"), added("OLD-TABLE")])
        sender.send([chairs[1]])

        store(bodies(receive(receiver, 4)))
        Relay().drain()

        assert sorted(recorded()) == ["OLD-TABLE", "RED-CHAIR 0", "RED-CHAIR 1"]
        assert Delivery.objects.dead().get().message.payload == "\\xff{"

    def test_keeps_a_key_that_never_decodes_from_blocking_another(self, sender, receiver, subscribe):
        inbox.register()
        tables = numbered("OLD-TABLE", 10)
        for number, table in enumerate(tables):
            sender.send([Outgoing(TYPE, "RED-CHAIR", b"\xff%d" % number), table])

        store(bodies(receive(receiver, 20)))
        Relay().drain()

        assert recorded() == [f"OLD-TABLE {number}" for number in range(10)]
        assert Delivery.objects.dead().count() == 10


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("paint", "connected_shop")
class TestReceivers:
    def test_of_one_service_keep_the_order_of_each_key_while_one_of_them_stops(self, sender):
        skus, names = [f"CHAIR-{number}" for number in range(10)], [str(number) for number in range(10)]
        with receivers(2), workers(1):
            with receivers(1):
                for name in names[:5]:
                    sender.send([added(sku, name) for sku in skus])
                eventually(lambda: OutboxMessage.objects.count() > 10)
            for name in names[5:]:
                sender.send([added(sku, name) for sku in skus])
            eventually(lambda: OutboxMessage.objects.count() == 100)

        assert recorded_by_sku() == dict.fromkeys(skus, names)

    def test_that_are_killed_before_they_settle_store_each_message_once(self, sender):
        sender.send(numbered("RED-CHAIR", 5))

        assert in_processes(receive_and_be_killed) == [-signal.SIGKILL]

        assert OutboxMessage.objects.count() > 0
        with receivers(1):
            sender.send([added("OLD-TABLE")])
            eventually(lambda: OutboxMessage.objects.count() == 6)
        Relay().drain()
        assert sorted(recorded()) == ["OLD-TABLE", *(f"RED-CHAIR {number}" for number in range(5))]

    def test_receive_what_another_service_published(self):
        sending.register()
        announce(products.added("RED-CHAIR", "1"), products.added("RED-CHAIR", "2"))
        Relay().drain()
        assert set(Delivery.objects.values_list("subscriber", "status")) == {
            ("messaging.transport", "delivered"),
            ("tests.paint", "delivered"),
        }
        OutboxMessage.objects.all().delete()  # as in the database of another service

        with receivers(1):
            eventually(lambda: OutboxMessage.objects.count() == 2)
        Relay().drain()

        assert recorded() == 2 * ["RED-CHAIR 1", "RED-CHAIR 2"]

    @pytest.mark.parametrize("size", [2_000, pytest.param(50_000, marks=pytest.mark.torture)])
    def test_catch_up_with_a_backlog(self, sender, size, summarize):
        skus, names = [f"CHAIR-{number}" for number in range(SET_SIZE)], [str(n) for n in range(size // SET_SIZE)]
        for name in names:
            sender.send([added(sku, name) for sku in skus])

        with receivers(2):
            seconds = eventually(lambda: OutboxMessage.objects.count() == size, within=CATCH_UP_SECONDS, every=0.5)

        summarize(f"{type(sender).__name__}: {size / seconds:,.0f} messages/s received and stored, {size} in all")
        assert stored_by_sku() == dict.fromkeys(skus, names)


class TestFaults:
    def test_of_the_connection_in_the_middle_of_a_set_lose_nothing(self, link, connect):
        connect(TYPE).close()
        sender = connected(link.broker)
        chairs = [added(f"CHAIR-{number}", "x" * 1000) for number in range(100)]
        eventually(lambda: sender.send(chairs[:1]) is None, ignoring=Unavailable)  # Kafka's first may take longer

        with link.cut_in_the_middle(), pytest.raises(Unavailable, match="is not available"):
            sender.send(chairs)
        sender.close()
        connect().send(chairs)

        receiver, seen = connect(TYPE), []
        eventually(lambda: seen.extend(receive(receiver, 1)) or set(bodies(seen)) == set(bodies(chairs)))

    def test_of_the_connection_before_a_set_is_settled_lose_nothing(self, link, connect, sender):
        receiver, chairs = connected(link.broker, [TYPE]), numbered("RED-CHAIR", 5)
        sender.send(chairs)
        receive(receiver, 5, settle=False)

        link.cut()
        receiver.close()

        assert bodies(receive(connect(TYPE), 5)) == bodies(chairs)

    def test_are_reported_soon_if_the_broker_is_down(self, unreachable):
        with pytest.raises(Unavailable, match=r"at 127\.0\.0\.1:1 is not available"):
            connected(unreachable)

    def test_of_credentials_name_the_setting_and_no_secret(self, broker):
        wrong = replace(broker, url=broker.url.replace(broker.address, f"ada:secret@{broker.address}"))

        with pytest.raises(Unavailable, match=r"rejects the user.* in TRANSPORT_URL") as error:
            connected(wrong)

        assert "secret" not in str(error.value)
