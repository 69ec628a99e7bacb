import json
import signal
import socket
import subprocess
from datetime import timedelta
from io import StringIO

import pytest
from django.contrib.admin.models import LogEntry
from django.core.management import CommandError
from django.urls import reverse
from django.utils import timezone

from messaging import liveness
from messaging.contracts import ProductAdded, StockDepleted
from messaging.liveness import kill_requested_workers, request_end
from messaging.models import Delivery, SubscriberPause, Worker
from messaging.outages import Outages
from messaging.status import SubscriberStatus, live_workers, outbox_status
from messaging.subscribers import Unavailable
from tests.commands import Terminal, run
from tests.messaging.products import added, announce
from tests.outbox import counting_statements
from tests.threads import workers
from tests.waiting import eventually

LONGEST_NAME = "notifications.alert_of_dead_letter"


def status_of(name: str, *, ahead: timedelta = timedelta()) -> SubscriberStatus:
    """Return the status of a subscriber, as it will be so much later."""
    [status] = [each for each in outbox_status(timezone.now() + ahead).subscribers if each.name == name]
    return status


def print_status(*options: str, out: StringIO | None = None) -> tuple[int, str]:
    """Run the command, and return its exit status and its output."""
    out = out or StringIO()
    try:
        run("outbox_status", *options, out=out)
    except SystemExit as end:
        return end.code, out.getvalue()
    return 0, out.getvalue()


@pytest.mark.django_db
class TestSubscribers:
    def test_have_their_deliveries_counted_by_state(self, subscribe, relay):
        @subscribe(ProductAdded)
        def paint(events):
            if events[0].name == "fails":
                raise ZeroDivisionError

        announce(added("RED-CHAIR"))
        relay.drain()
        announce(added("BLUE-CHAIR", "fails"))
        relay.drain()
        announce(added("OLD-TABLE"), added("NEW-TABLE"))
        announce(added("LATE-CHAIR"), at=timezone.now() + timedelta(hours=1))
        Delivery.objects.filter(key="NEW-TABLE").update(status="dead")

        status = status_of("tests.paint")

        assert (status.due, status.claimed, status.retrying, status.delayed, status.dead) == (1, 0, 1, 1, 1)
        assert status.delivered_last_minute == 1
        assert 0 < status.oldest_due_seconds < 60

    def test_have_what_is_being_delivered_counted(self, subscribe, relay):
        seen = []

        @subscribe(ProductAdded, transactional=False)
        def paint(events):
            seen.append(status_of("tests.paint"))

        announce(added("RED-CHAIR"))
        relay.drain()

        assert [(status.due, status.claimed) for status in seen] == [(0, 1)]

    def test_have_the_age_of_the_oldest_that_is_due(self, paint):
        announce(added("RED-CHAIR"))

        assert 3600 < status_of("tests.paint", ahead=timedelta(hours=1)).oldest_due_seconds < 3660
        assert status_of("tests.paint").oldest_due_seconds < 60

    def test_have_only_what_was_delivered_in_the_last_minute_counted(self, paint, relay):
        announce(added("RED-CHAIR"))
        relay.drain()

        assert status_of("tests.paint").delivered_last_minute == 1
        assert status_of("tests.paint", ahead=timedelta(minutes=1)).delivered_last_minute == 0

    def test_have_no_more_of_a_long_backlog_counted_than_the_maximum(self, paint):
        announce(*[added(f"CHAIR-{number}") for number in range(3)])

        [shortened] = [each for each in outbox_status(timezone.now(), most=2).subscribers if each.name == "tests.paint"]

        assert (shortened.due, shortened.has_more) == (2, True)
        assert (status_of("tests.paint").due, status_of("tests.paint").has_more) == (3, False)

    def test_have_no_more_dead_letters_counted_than_the_maximum(self, paint):
        announce(*[added(f"CHAIR-{number}") for number in range(3)])
        Delivery.objects.update(status="dead")

        [shortened] = [each for each in outbox_status(timezone.now(), most=2).subscribers if each.name == "tests.paint"]

        assert shortened.shown_dead == "2+"
        assert "2+ dead letters" in "".join(shortened.problems())
        assert status_of("tests.paint").shown_dead == "3"

    def test_are_listed_if_the_code_defines_them_no_more(self, paint, subscribe):
        announce(added("RED-CHAIR"))
        Delivery.objects.update(subscriber="tests.removed")

        assert status_of("tests.removed").due == 1
        assert list(status_of("tests.removed").problems()) == [
            "1 delivery waits for tests.removed, which does not run here: see move_context."
        ]

    def test_are_read_by_a_constant_number_of_statements(self, paint, subscribe):
        subscribe(StockDepleted)(lambda events: None)
        with counting_statements() as for_none:
            outbox_status(timezone.now())
        announce(*[added(f"CHAIR-{number}") for number in range(50)], StockDepleted(sku="RED-CHAIR"))
        with counting_statements() as for_many:
            outbox_status(timezone.now())

        assert len(for_none) == len(for_many) <= 6


@pytest.mark.django_db(transaction=True)
class TestPauses:
    def test_last_until_the_longest_in_a_live_worker_ends(self, paint, worker):
        now = timezone.now()
        dead = Worker.objects.create(host="shop.example", process=4712, started_at=now)
        for of, seconds in ((worker, 20), (dead, 40)):
            SubscriberPause.objects.create(worker=of, subscriber="tests.paint", until=now + timedelta(seconds=seconds))

        assert live_workers() == {worker.number}
        assert status_of("tests.paint").paused_until == now + timedelta(seconds=20)
        assert status_of("tests.paint", ahead=timedelta(seconds=30)).paused_until is None

    def test_need_attention(self, paint, worker):
        until = timezone.now() + timedelta(minutes=1)
        SubscriberPause.objects.create(worker=worker, subscriber="tests.paint", until=until)

        code, output = print_status()

        assert code == 1
        assert "Workers that run: 1.\n" in output
        assert f"tests.paint is paused until {timezone.localtime(until):%Y-%m-%d %H:%M:%S}" in output

    def test_are_recorded_by_workers_and_removed_when_they_end(self, subscribe, monkeypatch):
        monkeypatch.setattr(liveness, "CHECK_SECONDS", 0.02)
        monkeypatch.setattr(liveness, "RECORD_SECONDS", 0)
        errors = [Unavailable("no route")]

        @subscribe(ProductAdded, transactional=False)
        def call_painter(events):
            if errors:
                raise errors.pop()

        announce(added("RED-CHAIR"))
        with workers(1):
            eventually(lambda: status_of("tests.call_painter").paused_until)
            eventually(lambda: status_of("tests.call_painter").delivered_last_minute)
            eventually(lambda: not SubscriberPause.objects.exists())

        assert not Worker.objects.exists()

    def test_cost_no_statement_while_there_is_none(self, db):
        outages = Outages()

        with counting_statements() as statements:
            outages.record(1)
            outages.record(2)

        assert len(statements) == 0


@pytest.mark.django_db
class TestOutboxStatus:
    def test_says_that_nothing_needs_attention(self, paint):
        assert print_status() == (
            0,
            "Workers that run: 0.\nSubscribers with nothing to deliver: 1.\nNothing needs attention.\n",
        )

    def test_prints_subscribers_with_deliveries_and_what_needs_attention(self, dead_letters):
        announce(added("GREEN-CHAIR"))

        code, output = print_status()

        assert code == 1
        assert "subscriber\tdue\toldest\tretry\tlater\tdead\t/min\n" in output
        assert "tests.paint\t1\t0 s\t0\t0\t2\t0\n" in output
        assert output.endswith(
            "Needs attention:\n"
            "tests.paint has 2 dead letters: list_dead_letters --subscriber tests.paint\n"
            "tests.call_supplier has 1 dead letter: list_dead_letters --subscriber tests.call_supplier\n"
        )

    def test_prints_one_json_object(self, dead_letters):
        code, output = print_status("--json")

        status = json.loads(output)
        assert (code, status["workers"], status["broker"]) == (1, 0, None)
        assert {each["name"]: each["dead"] for each in status["subscribers"]} == {
            "tests.paint": 2,
            "tests.call_supplier": 1,
        }
        assert len(status["problems"]) == 2

    def test_breaks_no_word_on_a_terminal_of_80_columns(self, paint, monkeypatch):
        monkeypatch.setenv("COLUMNS", "80")
        announce(added("RED-CHAIR"))
        Delivery.objects.update(subscriber=LONGEST_NAME, due_at=timezone.now() - timedelta(days=12))

        _, output = print_status(out=Terminal())

        [line] = [line for line in output.splitlines() if line.startswith("notifications")]
        assert line.split() == [LONGEST_NAME, "1", "12", "d", "0", "0", "0", "0"]
        assert len(line) <= 80


@pytest.mark.django_db(transaction=True)
class TestSilentWorkers:
    """Their process exists, and has not recorded for 20 s that it runs."""

    @pytest.fixture
    def frozen(self, worker):
        Worker.objects.filter(pk=worker.pk).update(seen_at=timezone.now() - timedelta(seconds=21))
        return worker

    def test_need_attention_and_do_not_run(self, frozen):
        code, output = print_status()

        assert (code, live_workers()) == (1, set())
        assert "Workers that run: 0.\n" in output
        silent = f"Worker {frozen.number}: process 4711 on shop.example is silent, and holds what it claimed: "
        assert f"{silent}end_worker {frozen.number}\n" in output

    def test_are_shown_to_operators_who_request_their_end(self, frozen, admin_client):
        workers = admin_client.get(reverse("admin:messaging_worker_changelist")).content.decode()
        page = reverse("admin:messaging_end_worker", args=[frozen.number])
        asked = admin_client.get(page).content.decode()

        assert (">silent<" in workers, page in workers) == (True, True)
        assert "is silent; it last recorded" in " ".join(asked.split())
        admin_client.post(page, {"reason": "frozen"})
        assert Worker.objects.get().end_requested_at
        assert LogEntry.objects.get().change_message.endswith("on shop.example. frozen")

    def test_are_ended_from_the_shell_which_is_logged(self, frozen):
        assert "Requested the end of worker" in run("end_worker", str(frozen.number), "--reason=frozen")

        entry = LogEntry.objects.get()
        assert (entry.user.username, entry.user.is_active) == ("(shell)", False)
        assert entry.change_message.endswith("on shop.example. Reason: frozen")

    def test_are_killed_only_in_the_process_group_of_their_cluster(self, frozen):
        request_end(frozen, now=timezone.now())
        with subprocess.Popen(["sleep", "60"]) as ours, subprocess.Popen(["sleep", "60"], process_group=0) as other:
            for process in (ours, other):
                Worker.objects.create(
                    host=socket.gethostname(),
                    process=process.pid,
                    started_at=timezone.now(),
                    end_requested_at=timezone.now(),
                )

            kill_requested_workers()

            assert (ours.wait(10), other.poll()) == (-signal.SIGKILL, None)
            other.kill()

    def test_do_not_exist_without_a_number(self, db):
        with pytest.raises(CommandError, match=r"There is no worker 17: see outbox_status\."):
            run("end_worker", "17")
