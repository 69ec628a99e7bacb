"""Pauses by operators."""

import pytest
from django.core.management import CommandError
from django.utils import timezone

from messaging.claims import subscribers_with_work
from messaging.contracts import ProductAdded
from messaging.models import OperatorPause
from messaging.pauses import pause, resume
from messaging.status import outbox_status
from tests.commands import run, run_json
from tests.messaging.products import added, announce, record, recorded, statuses
from tests.outbox import counting_statements
from tests.threads import workers
from tests.waiting import eventually


@pytest.fixture
def writer(subscribe):
    """A subscriber that is not paused, and writes what it gets into a list."""
    written: list[str] = []

    @subscribe(ProductAdded)
    def writer(events):
        written.extend(event.sku for event in events)

    return written


def pause_paint() -> None:
    pause("tests.paint", reason="no paint", by="olga", now=timezone.now())


@pytest.mark.django_db(transaction=True)
class TestPause:
    def test_keeps_every_relay_from_delivering_until_it_is_resumed(self, paint, writer):
        pause_paint()

        with workers(2):
            announce(*[added("RED-CHAIR", name) for name in "a"], added("BLUE-CHAIR"))
            announce(added("RED-CHAIR", "b"))
            eventually(lambda: sorted(writer) == ["BLUE-CHAIR", "RED-CHAIR", "RED-CHAIR"])
            assert recorded() == []
            assert [each.due for each in outbox_status(timezone.now()).subscribers if each.name == "tests.paint"] == [3]
            resume("tests.paint")

        red = [each for each in recorded() if each.startswith("RED")]
        assert red == ["RED-CHAIR a", "RED-CHAIR b"]
        assert len(recorded()) == 3

    def test_stops_a_relay_that_delivers(self, paint, writer):
        with workers(1):
            announce(added("RED-CHAIR"))
            eventually(lambda: recorded() == ["RED-CHAIR"])
            pause_paint()
            announce(added("BLUE-CHAIR"))
            eventually(lambda: writer == ["RED-CHAIR", "BLUE-CHAIR"])
            assert recorded() == ["RED-CHAIR"]
            resume("tests.paint")

        assert recorded() == ["RED-CHAIR", "BLUE-CHAIR"]

    def test_of_a_subscriber_with_external_calls_is_honoured_too(self, subscribe, writer):
        @subscribe(ProductAdded, transactional=False)
        def paint(events):
            record(events)

        pause_paint()

        with workers(1):
            announce(added("RED-CHAIR"))
            eventually(lambda: writer == ["RED-CHAIR"])
            assert recorded() == []
            resume("tests.paint")

        assert recorded() == ["RED-CHAIR"]


@pytest.mark.django_db
class TestCost:
    def test_is_no_statement_of_a_relay(self, paint, relay):
        with counting_statements() as without:
            subscribers_with_work(timezone.now())
            relay.deliver_due()
        pause_paint()
        announce(added("RED-CHAIR"))
        with counting_statements() as with_a_pause:
            subscribers_with_work(timezone.now())
            relay.deliver_due()

        assert len(without) == len(with_a_pause) == 2

    def test_lets_drain_deliver_everything_else(self, paint, writer):
        pause_paint()
        announce(added("RED-CHAIR"))

        assert run_json("drain")["deliveries"] == {"tests.writer": {"delivered": 1}}


@pytest.mark.django_db
class TestCommands:
    def test_pause_and_resume(self, paint):
        said = run("pause_subscriber", "tests.paint", "--reason", "no paint")
        assert said == "Paused tests.paint. Resume it: resume_subscriber tests.paint\n"
        stored = OperatorPause.objects.get()
        assert (stored.subscriber, stored.reason) == ("tests.paint", "no paint")
        assert stored.paused_by.endswith("shell)")
        assert run("pause_subscriber", "tests.paint", "--reason", "late").startswith(
            "tests.paint is already paused since"
        )
        assert OperatorPause.objects.get().reason == "no paint"

        assert run("resume_subscriber", "tests.paint") == "Resumed tests.paint.\n"
        assert run("resume_subscriber", "tests.paint") == "tests.paint was not paused.\n"

    def test_print_one_json_object(self, paint):
        paused = run_json("pause_subscriber", "tests.paint", "--reason", "no paint")

        assert (paused["subscriber"], paused["is_new"], paused["reason"]) == ("tests.paint", True, "no paint")
        assert run_json("resume_subscriber", "tests.paint") == {"subscriber": "tests.paint", "was_paused": True}

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (
                ["pause_subscriber", "painter", "--reason", "x"],
                r"There is no subscriber 'painter'\. Choose from: tests",
            ),
            (["pause_subscriber", "tests.paint", "--reason", " "], r"Say why it is paused: --reason"),
            (["pause_subscriber", "tests.paint"], "required: --reason"),
            (["resume_subscriber", "painter"], r"There is no subscriber 'painter'\. Choose from: tests\.paint"),
        ],
    )
    def test_change_nothing_for_invalid_arguments(self, paint, arguments, message):
        with pytest.raises(CommandError, match=message):
            run(*arguments)

        assert not OperatorPause.objects.exists()

    def test_resume_a_subscriber_that_the_code_defines_no_more(self, paint):
        OperatorPause.objects.create(subscriber="tests.removed", reason="x", paused_by="olga", paused_at=timezone.now())

        assert run("resume_subscriber", "tests.removed") == "Resumed tests.removed.\n"


@pytest.mark.django_db
class TestStatus:
    def test_shows_who_paused_it_since_when_and_why(self, paint):
        pause_paint()
        announce(added("RED-CHAIR"))

        [status] = outbox_status(timezone.now()).subscribers

        assert (status.due, status.paused_by, status.pause_reason) == (1, "olga", "no paint")
        [problem] = status.problems()
        assert problem.startswith("tests.paint is paused since ")
        assert problem.endswith(" by olga (no paint): resume_subscriber tests.paint")
        assert statuses() == {"RED-CHAIR": "pending"}
