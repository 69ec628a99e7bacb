import pytest
from django.core.management import CommandError

from messaging.models import Attempt, Delivery
from tests.commands import run, run_json
from tests.outbox import counting_statements


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

        assert run("replay_dead_letters", "--subscriber", "tests.removed") == "Replayed 1 dead letters.\n"
