import sys
from datetime import timedelta

import pytest
from django.core.management import CommandError
from django.utils import timezone

from messaging import sending
from messaging.contracts import ProductAdded, StockDepleted, WebhookReceived, event_types
from messaging.models import Attempt, Delivery, OutboxMessage
from messaging.subscribers import PartlyUnavailable, Permanent, Unavailable, all_subscribers, subscribers_of
from shop.settings.groups import TransportSettings
from tests.commands import run as run_command
from tests.messaging.products import added, announce, statuses
from tests.outbox import counting_statements
from tests.processes import run


class Scripted:
    """A transport that raises these errors, one for each set, and then sends."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.sets = []
        self.closed = 0

    def send(self, messages):
        if self.errors and (error := self.errors.pop(0)):
            raise error
        self.sets.append([message.key for message in messages])

    def close(self):
        self.closed += 1


def output_of(code: str, **environment: str) -> str:
    """Return what this code prints in a process in which Django is set up."""
    set_up = "import os, django; os.environ['DJANGO_SETTINGS_MODULE'] = 'shop.settings'; django.setup(); "
    done = run([sys.executable, "-c", set_up + code], **environment)
    assert done.status == 0, done.errors
    return done.output.strip()


def dead_letter() -> int:
    return Delivery.objects.get(status="dead").pk


@pytest.fixture
def transport(subscribe, settings, monkeypatch):
    """Register the transport, over a scripted broker."""
    scripted = Scripted()
    monkeypatch.setattr(sending, "connected", lambda broker: scripted)
    monkeypatch.setattr(sending, "_sender", sending.Sender())
    sending.register()
    return scripted


class TestRegister:
    def test_subscribes_to_all_events_that_may_leave_their_service(self, transport):
        heard = {event for event in event_types().values() if subscribers_of(event)}

        assert heard == {event for event in event_types().values() if not event.internal}
        assert list(all_subscribers()) == ["messaging.transport"]

    def test_happens_only_with_a_broker(self):
        names = "sorted(name for name in all_subscribers() if name.startswith('messaging.'))"
        expression = "from messaging.subscribers import all_subscribers; print(*" + names + ")"

        assert output_of(expression, TRANSPORT_URL="") == ""
        assert output_of(expression, TRANSPORT_URL="redis://localhost") == "messaging.receive messaging.transport"


@pytest.mark.django_db
class TestTransport:
    def test_sends_a_batch_as_one_set_and_reads_its_messages_once(self, transport, relay):
        announce(*[added(f"CHAIR-{number}") for number in range(150)])

        with counting_statements() as one_set:
            relay.drain()

        assert [len(set_) for set_ in transport.sets] == [150]
        of_messages = [query for query in one_set if "messaging_outboxmessage" in query["sql"]]
        assert len(of_messages) == 1

    def test_sends_events_of_a_key_one_after_another(self, transport, relay):
        announce(added("CHAIR", "1"), added("TABLE"), added("CHAIR", "2"))

        relay.drain()

        assert transport.sets == [["CHAIR", "TABLE"], ["CHAIR"]]

    def test_holds_an_event_back_until_it_is_due(self, transport, relay, clock):
        announce(added("RED-CHAIR"), at=timezone.now() + timedelta(hours=1))
        relay.drain()
        assert transport.sets == []

        clock.advance(seconds=3601)
        relay.drain()

        assert transport.sets == [["RED-CHAIR"]]

    def test_sends_no_internal_event(self, transport):
        announce(WebhookReceived(story="1", webhook_id="2"), StockDepleted(sku="RED-CHAIR"))

        assert list(Delivery.objects.values_list("subscriber", "key")) == [("messaging.transport", "RED-CHAIR")]

    def test_waits_while_the_broker_is_down(self, transport, relay, clock):
        transport.errors = [Unavailable("no route")]
        announce(added("RED-CHAIR"), added("OLD-TABLE"))

        relay.drain()
        assert statuses() == {"RED-CHAIR": "pending", "OLD-TABLE": "pending"}
        assert set(Delivery.objects.values_list("attempts", "deferrals")) == {(0, 1)}
        assert transport.closed == 1

        clock.advance(seconds=2)
        relay.drain()
        assert statuses() == {"RED-CHAIR": "delivered", "OLD-TABLE": "delivered"}

    def test_repeats_what_the_broker_did_not_confirm(self, transport, relay, clock):
        transport.errors = [PartlyUnavailable("queue is full", keys=["OLD-TABLE"])]
        announce(added("RED-CHAIR"), added("OLD-TABLE"), added("WHITE-LAMP"))
        relay.drain()
        assert statuses() == {"RED-CHAIR": "delivered", "OLD-TABLE": "pending", "WHITE-LAMP": "delivered"}

        clock.advance(seconds=2)
        relay.drain()

        assert transport.sets == [["OLD-TABLE"]]
        assert transport.closed == 0

    def test_gives_up_alone_what_the_broker_never_takes(self, transport, relay):
        transport.errors = [Permanent("too large"), Permanent("too large")]
        announce(added("RED-CHAIR"), added("OLD-TABLE"))

        relay.drain()

        assert Attempt.objects.get(delivery__status="dead").error == "too large"
        assert statuses() == {"RED-CHAIR": "dead", "OLD-TABLE": "delivered", str(dead_letter()): "delivered"}


@pytest.mark.django_db
def test_a_shop_without_a_broker_pays_nothing():
    announce(ProductAdded(sku="RED-CHAIR", name=""))

    assert list(Delivery.objects.values_list("subscriber", flat=True)) == ["inventory.open_stock_item"]
    assert OutboxMessage.objects.count() == 1
    assert output_of("import sys; print(*{'redis', 'pika', 'confluent_kafka'} & sys.modules.keys())") == ""


@pytest.mark.django_db
class TestResendEvents:
    def test_sends_again_what_was_sent_since_in_its_order(self, transport, settings, drain):
        settings.TRANSPORT = TransportSettings(url="redis://127.0.0.1:1/0")
        announce(added("RED-CHAIR"))
        drain()
        Delivery.objects.update(delivered_at=timezone.now() - timedelta(days=1))
        for name in ("old", "new"):
            announce(added("OLD-TABLE", name))
            drain()
        since = (timezone.now() - timedelta(hours=1)).isoformat()

        planned = run_command("resend_events", f"--since={since}", "--dry-run")
        done = run_command("resend_events", f"--since={since}")
        drain()

        assert (planned, done) == ("2 events would be sent again.\n", "2 events are sent again.\n")
        assert transport.sets == [["RED-CHAIR"], ["OLD-TABLE"], ["OLD-TABLE"], ["OLD-TABLE"], ["OLD-TABLE"]]
        assert set(Delivery.objects.values_list("status", flat=True)) == {"delivered"}

    def test_needs_a_broker(self):
        with pytest.raises(CommandError, match="There is no broker: set TRANSPORT_URL"):
            run_command("resend_events", "--since=2026-11-29")
