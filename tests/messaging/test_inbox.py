import json
import re
from collections.abc import Callable, Iterator

import pytest

from messaging import contracts, erasure, inbox, sending
from messaging.contracts import DeliveryDied, Event, ProductAdded, StockDepleted
from messaging.inbox import received_types, store, wanted_types
from messaging.kernel.tracing import trace_id_of
from messaging.models import Attempt, Delivery, OutboxMessage
from messaging.subscribers import Permanent
from tests.commands import run, run_json
from tests.factories import make_stock, place_order
from tests.messaging.products import record, recorded
from tests.messaging.transports.messages import TYPE, added, outgoing
from tests.operators import act, operator_who_may, page
from tests.outbox import allowed_for_a_hundredfold, counting_statements, published

ORDER = "0190a5f4-7c1e-7d3a-9b52-3f6d1c2e4a01"
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def shipped(**attributes: object) -> bytes:
    """Return an event of a type that no contract describes."""
    event = {"specversion": "1.0", "id": "1", "source": "x", "type": "orders.order_shipped", "subject": "17"}
    return json.dumps(event | {"data": {"sku": "A"}} | attributes, separators=(",", ":")).encode()


SHIPPED = shipped()


@pytest.fixture
def inbox_of_painter(subscribe, paint) -> None:
    """The inbox of a service with one subscriber."""
    inbox.register()


@pytest.mark.django_db
@pytest.mark.usefixtures("inbox_of_painter")
class TestStore:
    def test_writes_each_message_with_a_delivery_for_each_subscriber_here(self, subscribe):
        @subscribe(ProductAdded, StockDepleted)
        def frame(events): ...

        store([added("RED-CHAIR").body, outgoing(StockDepleted(sku="OLD-TABLE")).body])

        assert sorted(Delivery.objects.values_list("subscriber", "key", "status")) == [
            ("tests.frame", "OLD-TABLE", "pending"),
            ("tests.frame", "RED-CHAIR", "pending"),
            ("tests.paint", "RED-CHAIR", "pending"),
        ]

    def test_stores_a_repeated_message_once(self, relay):
        chair = added("RED-CHAIR").body

        store([chair, chair])
        relay.drain()
        store([chair])
        relay.drain()

        assert recorded() == ["RED-CHAIR"]
        assert (OutboxMessage.objects.count(), Delivery.objects.count()) == (1, 1)

    def test_delivers_messages_of_a_key_in_the_order_of_their_arrival(self, relay):
        messages = [added("RED-CHAIR", name) for name in "1234"]

        store([message.body for message in reversed(messages)])
        relay.drain()

        assert recorded() == ["RED-CHAIR 4", "RED-CHAIR 3", "RED-CHAIR 2", "RED-CHAIR 1"]

    def test_takes_as_many_statements_for_a_hundred_messages_as_for_one(self):
        with counting_statements() as one:
            store([added("CHAIR").body])
        with counting_statements() as hundred:
            store([added(f"CHAIR-{number}").body for number in range(100)])

        assert len(hundred) <= allowed_for_a_hundredfold(len(one))

    def test_never_sends_what_it_received(self, subscribe):
        sending.register()

        store([added("RED-CHAIR").body])

        assert list(Delivery.objects.values_list("subscriber", flat=True)) == ["tests.paint"]


@pytest.mark.django_db
@pytest.mark.usefixtures("inbox_of_painter")
class TestUndecodable:
    def test_is_a_dead_letter_and_blocks_no_other(self, relay):
        store([b"\xff no event \x00", added("RED-CHAIR").body, SHIPPED])

        relay.drain()

        assert recorded() == ["RED-CHAIR"]
        listed = run_json("list_dead_letters", "--type=undecodable")["dead_letters"]
        letters = {letter["key"]: letter for letter in listed}
        assert {letter["subscriber"] for letter in letters.values()} == {"messaging.receive"}
        assert letters["17"]["error"].startswith("No contract describes 'orders.order_shipped': deploy the code")
        assert letters[""]["error"].startswith("Not a CloudEvent in JSON")
        assert set(OutboxMessage.objects.filter(type="undecodable").values_list("payload", flat=True)) == {
            SHIPPED.decode(), "\\xff no event \\x00",
        }  # fmt: skip

    def test_is_stored_once(self, relay):
        store([SHIPPED])
        relay.drain()
        store([SHIPPED, SHIPPED])
        relay.drain()

        assert Delivery.objects.filter(subscriber="messaging.receive").count() == 1
        assert Attempt.objects.count() == 1

    def test_is_handled_when_it_is_replayed_after_its_contract_was_deployed(self, relay, monkeypatch):
        with monkeypatch.context() as before:
            before.setattr(contracts, "event_types", dict)
            contracts._decoder.cache_clear()
            store([added("RED-CHAIR").body])
            relay.drain()
        assert recorded() == []

        assert run("replay_dead_letters") == "Replayed 1 dead letter.\n"
        relay.drain()

        assert recorded() == ["RED-CHAIR"]
        assert dict(Delivery.objects.values_list("subscriber", "status")) == {
            "messaging.receive": "delivered",
            "tests.paint": "delivered",
        }


@pytest.mark.django_db
class TestVersions:
    """Services of different releases beside each other: a release adds the field `colour`, with a default."""

    NEWER = {"sku": "RED-CHAIR", "name": "Red chair", "colour": "red"}
    OLDER = {"sku": "OLD-TABLE", "name": "Old table"}

    @pytest.fixture
    def newer_contract(self, monkeypatch) -> Iterator[type[ProductAdded]]:
        """The contract of the newer release, in use."""

        class Coloured(ProductAdded, frozen=True):
            colour: str = "none"

        monkeypatch.setattr(contracts, "event_types", lambda: {TYPE: Coloured})
        monkeypatch.setattr(inbox, "event_types", contracts.event_types)
        contracts._decoder.cache_clear()
        yield Coloured
        contracts._decoder.cache_clear()

    @pytest.fixture
    def receive(self, subscribe, relay) -> Callable[..., list[Event]]:
        """Return what a subscriber to these events gets of messages with these data."""
        inbox.register()

        def receive(contract: type[Event], *data: object) -> list[Event]:
            events: list[Event] = []

            @subscribe(contract)
            def paint(batch):
                events.extend(batch)

            store([shipped(id=str(number), type=TYPE, data=each) for number, each in enumerate(data)])
            relay.drain()
            return events

        return receive

    def test_older_services_ignore_a_field_that_was_added_and_keep_it(self, receive):
        assert receive(ProductAdded, self.NEWER) == [ProductAdded(sku="RED-CHAIR", name="Red chair")]
        assert json.loads(OutboxMessage.objects.get().payload) == self.NEWER

    def test_newer_services_read_the_field_or_its_default(self, receive, newer_contract):
        events = receive(newer_contract, self.NEWER, self.OLDER)

        assert {event.sku: event.colour for event in events} == {"RED-CHAIR": "red", "OLD-TABLE": "none"}


@pytest.mark.django_db
class TestUnhandleable:
    """Received events whose subscriber fails for ever."""

    @pytest.fixture(autouse=True)
    def paint_of(self, subscribe) -> dict[str, int]:
        """The paint that is left, by SKU: without any, the subscriber fails."""
        inbox.register()
        paint_of = {"OLD-TABLE": 1}

        @subscribe(ProductAdded)
        def paint(events):
            if any(event.sku not in paint_of for event in events):
                raise Permanent("no paint left")
            record(events)

        return paint_of

    def test_is_a_dead_letter_of_the_subscriber_and_blocks_no_other(self, relay):
        store([added("RED-CHAIR").body, added("OLD-TABLE").body])

        relay.drain()

        assert recorded() == ["OLD-TABLE"]
        [letter] = run_json("list_dead_letters")["dead_letters"]
        assert (letter["subscriber"], letter["type"], letter["key"]) == ("tests.paint", TYPE, "RED-CHAIR")
        assert (letter["error_class"], letter["error"]) == ("Permanent", "no paint left")

    def test_stays_one_when_the_broker_repeats_it(self, relay):
        chair = added("RED-CHAIR").body
        store([chair])
        relay.drain()

        store([chair])
        relay.drain()

        assert Attempt.objects.count() == 1

    def test_takes_effect_once_when_it_is_replayed(self, relay, paint_of):
        chair = added("RED-CHAIR").body
        store([chair])
        relay.drain()

        paint_of["RED-CHAIR"] = 1
        assert run("replay_dead_letters", "--subscriber=tests.paint") == "Replayed 1 dead letter.\n"
        store([chair])
        relay.drain()

        assert recorded() == ["RED-CHAIR"]


@pytest.mark.django_db
@pytest.mark.usefixtures("inbox_of_painter")
class TestOperators:
    def test_find_a_message_that_cannot_be_decoded_by_the_order_that_it_is_about(self, relay):
        make_stock()
        order = place_order()
        store([shipped(subject=str(order.pk), data={"order_id": str(order.pk)}, traceparent=TRACEPARENT)])

        relay.drain()

        entries = run_json("trace_order", str(order.pk))["timeline"]
        [entry] = [entry for entry in entries if entry["what"] == "undecodable"]
        [delivery] = entry["deliveries"]
        assert entry["trace_id"] == trace_id_of(TRACEPARENT)
        assert (delivery["subscriber"], delivery["status"]) == ("messaging.receive", "dead")
        assert delivery["latest_error"].startswith("Undecodable: No contract describes 'orders.order_shipped'")

    @pytest.mark.parametrize(
        ("data", "about"),
        [
            ({"order_id": ORDER, "number": "K7Q4-M2X0"}, (ORDER, "K7Q4-M2X0")),
            ({"order_id": ORDER}, (ORDER, "")),
            ({"order_id": "17", "number": "K7Q4-M2X0"}, ("", "")),
            ({"order_id": ORDER, "number": "K7Q4-M2X0 or so"}, ("", "")),
            ({"order_id": 17}, ("", "")),
            ([], ("", "")),
        ],
    )
    def test_are_told_the_order_that_it_is_about(self, relay, data, about):
        store([shipped(data=data)])

        relay.drain()

        [death] = published(DeliveryDied)
        assert (death.subscriber, death.event_type, death.message_key) == ("messaging.receive", "undecodable", "17")
        assert (death.order_id, death.number) == about

    def test_erase_contact_data_in_it(self):
        contact = {"email": "mirabel@example.net", "phone": "+441134969999", "name": 'Mira \\ "Bel"'}
        event = json.loads(shipped(data={"to": [contact], "from": contact | {"email": 'm"@example.net'}, "big": 0}))
        body = json.dumps(event, indent=2).replace('"big": 0', f'"big": {10**400}')
        store([body.encode()])

        erasure.erase(["17"], [])

        erased = contact | {"email": "", "phone": ""}
        payload = OutboxMessage.objects.get().payload.replace(str(10**400), "0")
        assert json.loads(payload) == event | {"data": {"to": [erased], "from": erased, "big": 0}}

    def test_replay_and_discard_it_in_the_admin(self, relay, monkeypatch):
        client = operator_who_may(
            "messaging.view_outboxmessage", "messaging.view_delivery", "messaging.change_delivery"
        )
        with monkeypatch.context() as before:
            before.setattr(contracts, "event_types", dict)
            contracts._decoder.cache_clear()
            store([added("RED-CHAIR").body])
            relay.drain()
        store([SHIPPED])
        relay.drain()
        red, strange = Delivery.objects.dead().order_by("id")

        assert "?type=undecodable" in client.get(page(OutboxMessage)).content.decode()
        listed = client.get(page(OutboxMessage) + "?type=undecodable").content.decode()
        replayed, discarded = act(client, "replay", red), act(client, "discard", strange, reason="unknown")
        relay.drain()

        assert sorted(re.findall(r'field-key">([^<]+)<', listed)) == ["17", "RED-CHAIR"]
        assert "Replayed 1 dead letter." in replayed
        assert "Discarded 1 dead letter." in discarded
        assert recorded() == ["RED-CHAIR"]


class TestReceivedTypes:
    def test_are_those_that_other_services_publish(self):
        assert received_types({"inventory"}) == {
            "orders.product_added", "orders.order_placed", "orders.order_confirmed", "orders.order_cancelled",
            "orders.contact_data_erased",
        }  # fmt: skip

    def test_of_the_service_with_the_accounts_are_none_of_theirs(self):
        about_accounts = {
            "accounts.password_reset_requested", "accounts.password_changed", "accounts.sign_up_requested",
            "accounts.sign_up_repeated",
        }  # fmt: skip

        assert about_accounts <= received_types({"notifications"})
        assert not about_accounts & received_types({"orders", "notifications"})

    def test_of_a_whole_shop_are_the_dead_letters_of_others(self):
        assert wanted_types() == {DeliveryDied.type}
