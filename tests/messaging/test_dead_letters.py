import json
import re
import shlex
from datetime import timedelta
from io import StringIO

import pytest
from django.conf import settings
from django.core.management import CommandError
from django.utils import timezone

from messaging import dead_letters as desk
from messaging.contracts import ProductAdded
from messaging.models import Attempt, Delivery, Resolution
from messaging.subscribers import Permanent
from tests.commands import Terminal, run, run_json
from tests.messaging.products import added, announce, statuses
from tests.outbox import counting_statements
from tests.threads import workers


def run_and_exit(*arguments: str) -> tuple[int, str]:
    """Run a command, and return its exit status and its output."""
    out = StringIO()
    try:
        run(*arguments, out=out)
    except SystemExit as end:
        return end.code, out.getvalue()
    return 0, out.getvalue()


@pytest.fixture
def painter(subscribe, relay):
    """A painter without paint, who has dead letters; what is added to the set is painted when it is replayed."""
    paint: set[str] = set()

    @subscribe(ProductAdded)
    def painter(events):
        if not paint >= {event.sku for event in events}:
            raise Permanent("no paint left")

    announce(added("RED-CHAIR"), added("BLUE-CHAIR"), added("GREEN-CHAIR"))
    relay.drain()
    return paint


@pytest.mark.django_db
class TestListDeadLetters:
    def test_prints_each_dead_letter_with_its_last_error(self, dead_letters):
        red, *_ = run_json("list_dead_letters")["dead_letters"]

        assert red == {
            "id": dead_letters["RED-CHAIR"],
            "subscriber": "tests.paint",
            "type": "orders.product_added",
            "key": "RED-CHAIR",
            "attempts": 1,
            "failed_at": Attempt.objects.order_by("id")[0].failed_at.isoformat(timespec="seconds"),
            "error_class": "Permanent",
            "error": "no paint left,\nnone at all",
        }

    def test_prints_one_line_each_to_a_pipe(self, dead_letters):
        heading, *lines = run("list_dead_letters").splitlines()

        assert heading.split("\t")[:4] == ["id", "subscriber", "type", "key"]
        assert [line.split("\t")[3] for line in lines] == ["RED-CHAIR", "BLUE-CHAIR", "OLD-TABLE"]
        assert lines[0].endswith("\tno paint left, none at all")

    @pytest.mark.parametrize(
        ("options", "keys"),
        [
            (["--subscriber", "tests.call_supplier"], ["OLD-TABLE"]),
            (["--type", "orders.product_added"], ["RED-CHAIR", "BLUE-CHAIR"]),
            (["--error", "ZeroDivisionError"], ["OLD-TABLE"]),
            (["--error", "KeyError"], []),
            (["--fingerprint", "0123456789abcdef"], []),
            (["--since", "2020-02-29"], ["RED-CHAIR", "BLUE-CHAIR", "OLD-TABLE"]),
            (["--since", "2999-12-31T23:59+01:00"], []),
            (["--type", "orders.product_added", "--limit", "1"], ["RED-CHAIR"]),
        ],
    )
    def test_filters(self, dead_letters, options, keys):
        assert [letter["key"] for letter in run_json("list_dead_letters", *options)["dead_letters"]] == keys

    def test_says_that_there_is_none(self, paint):
        assert run("list_dead_letters") == "There are no dead letters.\n"
        assert run("list_dead_letters", "--error", "ValueError") == "No dead letter matches.\n"
        assert run_json("list_dead_letters") == {"dead_letters": []}

    def test_breaks_no_word_on_a_terminal_of_80_columns(self, dead_letters, monkeypatch):
        monkeypatch.setenv("COLUMNS", "80")

        first, *_ = run("list_dead_letters", out=Terminal()).split("\n\n")

        values = dict(line.split(maxsplit=1) for line in first.splitlines())
        assert (values["subscriber"], values["type"]) == ("tests.paint", "orders.product_added")
        assert values["error"] == "no paint left, none at all"
        assert max(map(len, first.splitlines())) <= 80

    def test_takes_a_constant_number_of_statements(self, dead_letters):
        with counting_statements() as for_one:
            run("list_dead_letters", "--limit", "1")
        with counting_statements() as for_three:
            run("list_dead_letters")

        assert len(for_three) == len(for_one)


@pytest.mark.django_db
class TestReplayDeadLetters:
    def test_replays_all_with_all_their_attempts(self, dead_letters):
        Delivery.objects.update(deferrals=7)

        assert run("replay_dead_letters") == "Replayed 3 dead letters.\n"
        assert run("replay_dead_letters") == "Replayed 0 dead letters.\n"
        assert set(Delivery.objects.values_list("status", "attempts", "deferrals", "claim_token")) == {
            ("pending", 0, 0, None)
        }

    def test_replays_only_those_that_match_and_are_still_dead(self, dead_letters):
        blue = str(dead_letters["BLUE-CHAIR"])

        assert run_json("replay_dead_letters", blue) == {"replayed": 1, "matching": 1, "dry_run": False}
        assert run_json("replay_dead_letters", blue) == {"replayed": 0, "matching": 0, "dry_run": False}

        assert set(Delivery.objects.dead().values_list("key", flat=True)) == {"RED-CHAIR", "OLD-TABLE"}

    def test_replays_the_oldest_first_up_to_a_limit(self, dead_letters):
        run("replay_dead_letters", "--limit", "2")

        assert set(Delivery.objects.dead().values_list("key", flat=True)) == {"OLD-TABLE"}

    def test_changes_nothing_in_a_dry_run(self, dead_letters):
        assert run("replay_dead_letters", "--dry-run", "--error", "Permanent") == "Would replay 2 dead letters.\n"
        assert run_json("replay_dead_letters", "--dry-run") == {"replayed": 0, "matching": 3, "dry_run": True}

        assert Delivery.objects.dead().count() == 3

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (
                ["999999999"],
                r"There is no delivery 999999999; list_dead_letters prints the ids\. Nothing was changed\.",
            ),
            (["--subscriber", "painter"], r"There is no subscriber 'painter'\. Choose from: .*tests\.paint"),
            (["--type", "product_added"], r"There is no type 'product_added'\. Choose from: .*orders\.product_added"),
            (["--since", "yesterday"], r"'yesterday' is not a date\. Write 2026-11-22, or"),
            (["--limit", "0"], r"'0' is not a whole number above zero"),
            (["red-chair"], r"invalid int value: 'red-chair'"),
        ],
    )
    def test_changes_nothing_for_invalid_arguments(self, dead_letters, arguments, message):
        with pytest.raises(CommandError, match=message):
            run("replay_dead_letters", *arguments)

        assert Delivery.objects.dead().count() == 3

    def test_accepts_a_subscriber_that_only_dead_letters_have(self, dead_letters):
        Delivery.objects.filter(key="RED-CHAIR").update(subscriber="tests.removed")

        assert run("replay_dead_letters", "--subscriber", "tests.removed") == "Replayed 1 dead letter.\n"

    def test_makes_at_most_a_number_due_in_a_second(self, dead_letters):
        began = timezone.now()

        run("replay_dead_letters", "--rate", "2")

        due = [round((each.due_at - began).total_seconds()) for each in Delivery.objects.order_by("pk")]
        assert due == [0, 0, 1]
        assert set(Delivery.objects.values_list("delayed", flat=True)) == {True}

    def test_of_the_rate_are_delivered_in_order_and_delay_no_later_message(self, painter, relay, clock):
        painter |= {"RED-CHAIR", "BLUE-CHAIR", "GREEN-CHAIR"}
        run("replay_dead_letters", "--rate", "1")
        announce(added("GREEN-CHAIR", "again"))

        relay.drain()
        assert list(statuses().values()) == ["delivered", "pending", "delivered"]
        clock.advance(seconds=1)
        relay.drain()
        clock.advance(seconds=1)
        relay.drain()

        assert set(Delivery.objects.values_list("status", flat=True)) == {"delivered"}

    def test_are_recorded_with_who_and_which(self, dead_letters):
        run("replay_dead_letters", "--error", "Permanent", "--limit", "1")
        run("replay_dead_letters", "--error", "KeyError")

        resolution = Resolution.objects.get()
        assert (resolution.kind, resolution.letters, resolution.chosen) == ("replay", 1, "--error Permanent --limit 1")
        assert resolution.resolved_by.endswith("(shell)")
        assert [each.key for each in Delivery.objects.filter(resolution=resolution.pk)] == ["RED-CHAIR"]

    def test_are_replayed_in_chunks_once_each(self, dead_letters, monkeypatch):
        monkeypatch.setattr("messaging.dead_letters.CHUNK", 2)

        assert run_json("replay_dead_letters")["replayed"] == 3


@pytest.mark.django_db(transaction=True)
class TestWaiting:
    def test_tells_how_many_were_delivered(self, painter):
        painter |= {"RED-CHAIR", "BLUE-CHAIR", "GREEN-CHAIR"}

        with workers(1):
            code, output = run_and_exit("replay_dead_letters", "--wait")

        assert (code, output) == (0, "Replayed 3 dead letters.\nDelivered: 3.\nDied again: 0.\n")

    def test_tells_how_many_died_again_and_exits_with_1(self, painter):
        painter |= {"RED-CHAIR"}

        with workers(1):
            code, output = run_and_exit("replay_dead_letters", "--wait", "--timeout=60")

        assert (code, output) == (1, "Replayed 3 dead letters.\nDelivered: 1.\nDied again: 2 (Permanent 2).\n")

    def test_prints_one_json_object(self, painter):
        painter |= {"RED-CHAIR"}

        with workers(1):
            code, output = run_and_exit("replay_dead_letters", "--wait", "--json")

        result = json.loads(output)["result"]
        assert (code, result["delivered"], result["died"], result["errors"]) == (1, 1, 2, {"Permanent": 2})

    def test_ends_after_its_time_with_3(self, painter):
        code, output = run_and_exit("replay_dead_letters", "--wait", "--timeout=0.01")

        assert code == 3
        assert "Died again: 0.\nStill waiting: 3.\n" in output

    def test_does_not_count_what_another_replay_took(self, painter, relay):
        run("replay_dead_letters")
        relay.drain()
        run("replay_dead_letters", "--limit", "1")

        first, second = Resolution.objects.order_by("pk")

        assert (desk.result_of(first).died, desk.result_of(first).others) == (2, 1)
        assert desk.result_of(second).waiting == 1


@pytest.mark.django_db
class TestGroups:
    def test_count_dead_letters_by_subscriber_and_error(self, dead_letters):
        heading, *lines = run("list_dead_letters", "--group").splitlines()

        assert heading.split("\t") == ["letters", "subscriber", "error_class", "fingerprint", "first", "last"]
        assert [line.split("\t")[:3] for line in lines] == [
            ["2", "tests.paint", "Permanent"],
            ["1", "tests.call_supplier", "ZeroDivisionError"],
        ]

    def test_have_the_first_and_the_last_time_of_failure(self, dead_letters):
        first, last = timezone.now() - timedelta(days=2), timezone.now() - timedelta(hours=3)
        Delivery.objects.filter(key="RED-CHAIR").update(failed_at=last)
        Delivery.objects.filter(key="BLUE-CHAIR").update(failed_at=first)

        [paint, _] = desk.groups_at_a_glance()[::-1]

        assert (paint.letters, paint.first_failed_at, paint.last_failed_at) == (2, first, last)
        assert run("list_dead_letters", "--group").splitlines()[1].endswith("\t2 d ago\t3 h ago")

    def test_are_filtered_and_printed_as_json(self, dead_letters):
        [group] = run_json("list_dead_letters", "--group", "--subscriber", "tests.paint")["groups"]

        assert (group["letters"], group["error_class"]) == (2, "Permanent")
        letters = run_json("list_dead_letters", "--fingerprint", group["fingerprint"])["dead_letters"]
        assert {letter["key"] for letter in letters} == {"RED-CHAIR", "BLUE-CHAIR"}

    def test_at_a_glance_are_the_same_as_those_counted(self, dead_letters):
        Delivery.objects.filter(key="OLD-TABLE").update(error_class="", fingerprint="", failed_at=None)

        assert sorted(map(repr, desk.groups_at_a_glance())) == sorted(map(repr, desk.groups(Delivery.objects.dead())))

    def test_at_a_glance_are_counted_up_to_a_limit_by_one_statement(self, dead_letters, monkeypatch):
        monkeypatch.setattr(desk, "MOST_COUNTED", 1)
        limited = desk.GROUPS.replace("LIMIT 1001", "LIMIT 2")
        monkeypatch.setattr(desk, "GROUPS", limited)

        with counting_statements() as statements:
            groups = desk.groups_at_a_glance()

        assert [desk.described_count(group.letters) for group in groups] == ["1", "1+"]
        assert len(statements) == 1

    def test_are_none_without_dead_letters(self, paint):
        assert desk.groups_at_a_glance() == []
        assert run("list_dead_letters", "--group") == "There are no dead letters.\n"


@pytest.mark.django_db
class TestDiscardDeadLetters:
    def test_discards_those_that_match_and_keeps_who_and_why(self, dead_letters):
        why = "painted by hand"

        assert run("discard_dead_letters", "--error", "Permanent", "--reason", why) == "Discarded 2 dead letters.\n"

        assert statuses() == {"RED-CHAIR": "discarded", "BLUE-CHAIR": "discarded", "OLD-TABLE": "dead"}
        resolution = Resolution.objects.get()
        assert (resolution.kind, resolution.reason, resolution.letters) == ("discard", why, 2)

    def test_stores_no_addresses(self, dead_letters):
        run("discard_dead_letters", "--error", "Permanent", "--reason", "ada@example.com was told by +4930123456")

        assert Resolution.objects.get().reason == "(address) was told by (number)"

    def test_changes_nothing_in_a_dry_run(self, dead_letters):
        options = ["--error", "Permanent", "--reason", "late", "--dry-run"]

        assert run("discard_dead_letters", *options) == "Would discard 2 dead letters.\n"
        assert run_json("discard_dead_letters", *options) == {"discarded": 0, "matching": 2, "dry_run": True}
        assert Delivery.objects.dead().count() == 3

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--reason", "all of them"], r"Choose dead letters by ids or filters\. Nothing was changed\."),
            (
                ["--error", "Permanent", "--reason", " "],
                r"Say why they are discarded: --reason\. Nothing was changed\.",
            ),
            (["--error", "Permanent"], "required: --reason"),
            (["0", "--reason", "late"], "There is no delivery 0;"),
            ([f"{10**30}", "--reason", "late"], f"There is no delivery {10**30};"),
        ],
    )
    def test_changes_nothing_for_invalid_arguments(self, dead_letters, arguments, message):
        with pytest.raises(CommandError, match=message):
            run("discard_dead_letters", *arguments)

        assert Delivery.objects.dead().count() == 3


class TestAdvice:
    def test_is_given_for_each_error_of_the_guide(self):
        guide = (settings.BASE_DIR / "docs/how-to/operations.md").read_text(encoding="utf-8")
        _, _, table = guide.partition("| error | meaning | what to do |")

        listed = re.findall(r"^\| `(\w+)`", table.partition("\n\n")[0], re.MULTILINE)

        assert set(desk.ADVICE) == set(listed)
        assert desk.advice_for("KeyError") == desk.OTHER_ADVICE


class TestPayload:
    def test_hides_contact_data_without_the_permission(self):
        payload = '{"order_id":"17","email":"ada@example.com","phone":"+4930123456","note":"bob@example.com"}'

        hidden = json.loads(desk.readable_payload(payload, with_contact_data=False))

        assert hidden == {"order_id": "17", "email": "(hidden)", "phone": "(hidden)", "note": "(address)"}
        assert json.loads(desk.readable_payload(payload, with_contact_data=True))["email"] == "ada@example.com"

    @pytest.mark.parametrize("payload", ["no JSON", "[" * 10_000, ""])
    def test_is_shown_as_it_is_if_it_is_no_json(self, payload):
        assert desk.readable_payload(payload, with_contact_data=True).startswith(payload[:100])


@pytest.mark.django_db
@pytest.mark.parametrize("heading", ["## Dead letters", "### Pause a subscriber"])
def test_every_command_of_the_guide_runs(heading):
    guide = (settings.BASE_DIR / "docs/how-to/operations.md").read_text(encoding="utf-8")
    _, _, section = guide.partition(f"\n{heading}\n")
    commands = re.findall(r"^    python manage.py (.+)$", section.partition("\n###")[0], re.MULTILINE)

    statuses_of = {command: run_and_exit(*shlex.split(command))[0] for command in commands}

    assert len(commands) >= 3
    assert {command: code for command, code in statuses_of.items() if code} in (
        {},
        {"outbox_status": 1},  # it needs attention that a subscriber is paused
    )
