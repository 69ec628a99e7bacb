import json
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from django_q.models import Schedule

from messaging.contracts import ProductAdded
from messaging.dead_letters import discard
from messaging.models import Attempt, Delivery, OutboxMessage, Resolution
from tests.commands import Terminal, run, run_json
from tests.messaging.products import added, announce, recorded


@pytest.mark.django_db
class TestDrain:
    def test_delivers_what_is_due_and_prints_the_outcomes(self, paint):
        announce(added("RED-CHAIR"), added("BLUE-CHAIR"))

        assert run("drain") == "subscriber\toutcome\tdeliveries\ntests.paint\tdelivered\t2\n"
        assert run("drain") == "Nothing was due.\n"
        assert recorded() == ["RED-CHAIR", "BLUE-CHAIR"]

    def test_frames_its_table_on_a_terminal(self, paint):
        announce(added("RED-CHAIR"))

        assert "│ tests.paint │ delivered │ 1          │" in run("drain", out=Terminal())

    def test_prints_one_json_object(self, paint):
        announce(added("RED-CHAIR"))

        assert run_json("drain") == {"drained": True, "deliveries": {"tests.paint": {"delivered": 1}}}
        assert run_json("drain") == {"drained": True, "deliveries": {}}

    def test_prints_the_outcomes_until_the_timeout(self, subscribe):
        @subscribe(ProductAdded)
        def add_another(events):
            announce(*[added(event.sku + "I") for event in events])

        announce(added("CHAIR-"))
        out = StringIO()

        with pytest.raises(CommandError, match=r"Still not drained after 0.05 s\. Run it again") as failure:
            run("drain", "--timeout", "0.05", "--json", out=out)

        assert failure.value.returncode == 1
        result = json.loads(out.getvalue())
        assert not result["drained"]
        assert result["deliveries"]["tests.add_another"]["delivered"] == OutboxMessage.objects.count() - 1

    @pytest.mark.parametrize("timeout", ["0", "-1", "soon", "nan", "inf"])
    def test_rejects_an_invalid_timeout(self, timeout):
        with pytest.raises(CommandError, match="is not a number of seconds above zero"):
            run("drain", f"--timeout={timeout}")


def age(key: str, *, days: int) -> None:
    long_ago = timezone.now() - timedelta(days=days)
    OutboxMessage.objects.filter(key=key).update(published_at=long_ago)
    Delivery.objects.filter(key=key, status="delivered").update(delivered_at=long_ago)


@pytest.mark.django_db
class TestPruneMessages:
    def test_deletes_messages_delivered_before_the_retention_time(self, paint, relay):
        announce(added("OLD-CHAIR"), added("NEW-CHAIR"))
        relay.drain()
        age("OLD-CHAIR", days=31)

        assert run("prune_messages").startswith("Pruned 1 messages finished before ")
        assert run_json("prune_messages") == {"pruned": 0, "matching": 0, "dry_run": False}
        assert list(OutboxMessage.objects.values_list("key", flat=True)) == ["NEW-CHAIR"]
        assert list(Delivery.objects.values_list("key", flat=True)) == ["NEW-CHAIR"]

    def test_keeps_pending_and_dead_ones(self, dead_letters):
        announce(added("WAITING-CHAIR"), at=timezone.now() + timedelta(days=1))
        for key in [*dead_letters, "WAITING-CHAIR"]:
            age(key, days=10_000)

        assert run_json("prune_messages", "--days", "1") == {"pruned": 0, "matching": 0, "dry_run": False}
        assert OutboxMessage.objects.filter(type="orders.product_added").count() == 3

    def test_deletes_discarded_ones_with_their_attempts(self, dead_letters):
        Delivery.objects.filter(key="RED-CHAIR").discard()
        age("RED-CHAIR", days=31)

        assert run_json("prune_messages")["pruned"] == 1
        assert not Attempt.objects.filter(delivery=dead_letters["RED-CHAIR"]).exists()
        assert Attempt.objects.count() == 2

    def test_keeps_an_old_message_that_was_delivered_recently(self, paint, relay):
        announce(added("PATIENT-CHAIR"))
        relay.drain()
        OutboxMessage.objects.update(published_at=timezone.now() - timedelta(days=365))

        assert run_json("prune_messages")["pruned"] == 0

    def test_changes_nothing_in_a_dry_run(self, paint, relay):
        announce(added("OLD-CHAIR"))
        relay.drain()
        age("OLD-CHAIR", days=31)

        assert run_json("prune_messages", "--dry-run") == {"pruned": 0, "matching": 1, "dry_run": True}
        assert OutboxMessage.objects.exists()

    def test_deletes_what_is_known_of_replays_and_discards_with_their_deliveries(self, dead_letters):
        month_ago = timezone.now() - timedelta(days=31)
        kept, gone = (
            discard(Delivery.objects.filter(key=sku).dead(), by="olga", now=month_ago, reason="a test")
            for sku in ("BLUE-CHAIR", "RED-CHAIR")
        )
        age("RED-CHAIR", days=31)

        run("prune_messages", "--dry-run")
        assert set(Resolution.objects.all()) == {kept, gone}

        run("prune_messages")
        assert set(Resolution.objects.all()) == {kept}

    def test_deletes_in_chunks(self, paint, relay, monkeypatch):
        monkeypatch.setattr("messaging.models.PRUNE_CHUNK", 2)
        announce(*[added(f"CHAIR-{number}") for number in range(5)])
        relay.drain()
        for number in range(5):
            age(f"CHAIR-{number}", days=31)

        assert run_json("prune_messages")["pruned"] == 5

    @pytest.mark.parametrize("days", ["0", "-3", "many", "1.5"])
    def test_rejects_an_invalid_retention_time(self, days):
        with pytest.raises(CommandError, match="is not a whole number above zero"):
            run("prune_messages", f"--days={days}")

    def test_is_scheduled_daily_in_a_cluster(self):
        schedule = Schedule.objects.get(args="'prune_messages'")

        assert (schedule.func, schedule.schedule_type) == ("django.core.management.call_command", Schedule.DAILY)


@pytest.mark.parametrize(
    "command",
    [
        *("discard_dead_letters", "drain", "list_dead_letters", "outbox_status", "pause_subscriber", "prune_messages"),
        *("replay_dead_letters", "resume_subscriber"),
    ],
)
class TestHelp:
    def test_explains_the_exit_status(self, command, capsys):
        with pytest.raises(SystemExit, match="0"):
            call_command(command, "--help")

        assert "Exit status: 0 if" in " ".join(capsys.readouterr().out.split())
