import pytest
from django.core.management import CommandError

from messaging.models import Attempt, Delivery
from tests.messaging.scenes import Terminal, run, run_json
from tests.outbox import counting_statements


@pytest.mark.django_db
class TestListDeadLetters:
    def test_tells_each_letter_with_its_last_error(self, letters):
        red, *_ = run_json("list_dead_letters")["dead_letters"]

        assert red == {
            "id": letters["RED-CHAIR"],
            "subscriber": "tests.paint",
            "type": "orders.product_added",
            "key": "RED-CHAIR",
            "attempts": 1,
            "failed_at": Attempt.objects.order_by("id")[0].failed_at.isoformat(timespec="seconds"),
            "error_class": "Permanent",
            "error": "no paint left,\nnone at all",
        }

    def test_prints_one_line_a_letter_in_a_pipe(self, letters):
        heading, *lines = run("list_dead_letters").splitlines()

        assert heading.split("\t")[:4] == ["id", "subscriber", "type", "key"]
        assert [line.split("\t")[3] for line in lines] == ["RED-CHAIR", "BLUE-CHAIR", "OLD-TABLE"]
        assert lines[0].endswith("\tno paint left, none at all")

    def test_frames_its_table_on_a_terminal(self, letters, monkeypatch):
        monkeypatch.setenv("COLUMNS", "200")

        table = run("list_dead_letters", out=Terminal())

        assert [cell.strip() for cell in table.splitlines()[3].split("│")][2:5] == [
            "tests.paint",
            "orders.product_added",
            "RED-CHAIR",
        ]

    @pytest.mark.parametrize(
        ("wish", "found"),
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
    def test_narrows_to_what_is_asked(self, letters, wish, found):
        assert [letter["key"] for letter in run_json("list_dead_letters", *wish)["dead_letters"]] == found

    def test_narrows_to_ids(self, letters):
        found = run_json("list_dead_letters", str(letters["BLUE-CHAIR"]), str(letters["OLD-TABLE"]))["dead_letters"]

        assert [letter["key"] for letter in found] == ["BLUE-CHAIR", "OLD-TABLE"]

    def test_says_so_when_there_is_none(self, paint):
        assert run("list_dead_letters") == "There are no dead letters.\n"
        assert run("list_dead_letters", "--error", "ValueError") == "No dead letter matches.\n"
        assert run_json("list_dead_letters") == {"dead_letters": []}

    def test_costs_as_many_statements_for_three_letters_as_for_one(self, letters):
        with counting_statements() as for_one:
            run("list_dead_letters", "--limit", "1")
        with counting_statements() as for_three:
            run("list_dead_letters")

        assert len(for_three) == len(for_one)


@pytest.mark.django_db
class TestReplayDeadLetters:
    def test_puts_them_all_back(self, letters):
        assert run("replay_dead_letters") == "Replayed 3 dead letters.\n"
        assert run("replay_dead_letters") == "Replayed 0 dead letters.\n"
        assert set(Delivery.objects.values_list("status", "attempts")) == {("pending", 0)}

    def test_puts_back_what_is_asked_and_nothing_else(self, letters):
        assert run_json("replay_dead_letters", str(letters["BLUE-CHAIR"])) == {
            "replayed": 1,
            "matching": 1,
            "dry_run": False,
        }

        assert set(Delivery.objects.dead().values_list("key", flat=True)) == {"RED-CHAIR", "OLD-TABLE"}

    def test_leaves_alone_what_is_not_dead_any_more(self, letters):
        run("replay_dead_letters", str(letters["BLUE-CHAIR"]))

        assert run("replay_dead_letters", str(letters["BLUE-CHAIR"])) == "Replayed 0 dead letters.\n"

    def test_takes_the_oldest_first_up_to_a_limit(self, letters):
        run("replay_dead_letters", "--limit", "2")

        assert set(Delivery.objects.dead().values_list("key", flat=True)) == {"OLD-TABLE"}

    def test_only_tells_in_a_dry_run(self, letters):
        assert run("replay_dead_letters", "--dry-run", "--error", "Permanent") == "Would replay 2 dead letters.\n"
        assert run_json("replay_dead_letters", "--dry-run") == {"replayed": 0, "matching": 3, "dry_run": True}

        assert Delivery.objects.dead().count() == 3

    @pytest.mark.parametrize(
        ("wish", "complaint"),
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
    def test_changes_nothing_when_asked_wrongly(self, letters, wish, complaint):
        with pytest.raises(CommandError, match=complaint):
            run("replay_dead_letters", *wish)

        assert Delivery.objects.dead().count() == 3

    def test_knows_a_subscriber_that_only_dead_letters_remember(self, letters):
        Delivery.objects.filter(key="RED-CHAIR").update(subscriber="tests.forgotten")

        assert run("replay_dead_letters", "--subscriber", "tests.forgotten") == "Replayed 1 dead letters.\n"
