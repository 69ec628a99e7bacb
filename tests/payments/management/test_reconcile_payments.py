import json
from datetime import UTC, datetime
from io import StringIO

import pytest
from django.core.management import CommandError
from django.utils import timezone

from payments.gateway.protocol import TimedOut, Unreachable
from payments.models import PaymentIntent
from tests.commands import run, run_json
from tests.payments.books import CaptureRow, capture_rows
from tests.payments.scenes import collect

pytestmark = pytest.mark.django_db


@pytest.fixture
def unbooked(ledger) -> PaymentIntent:
    """A payment that is captured in the gateway's books only."""
    return collect("tok_timeout", now=timezone.now())


class TestOutput:
    def test_is_a_table_of_amounts_in_the_main_unit(self, unbooked):
        assert run("reconcile_payments").splitlines() == [
            "kind\tstate\treference\torder\tdetail",
            f"unbooked\trepaired\tinstant-{unbooked.pk}\t{unbooked.order_id}\t45.00 GBP by {unbooked.pk}",
            "Captures at the gateway: 1; in our books: 1. Differences repaired: 1; left to an operator: 0.",
        ]
        assert capture_rows() == [CaptureRow(4_500)]
        assert run("reconcile_payments") == (
            "Captures at the gateway: 1; in our books: 1. Differences repaired: 0; left to an operator: 0.\n"
        )

    def test_is_json_of_amounts_in_both_units(self, unbooked):
        difference = {
            "kind": "unbooked",
            "reference": f"instant-{unbooked.pk}",
            "order": str(unbooked.order_id),
            "detail": f"4500 GBP by {unbooked.pk}",
            "description": f"45.00 GBP by {unbooked.pk}",
        }

        assert run_json("reconcile_payments") == {"bookings": 1, "captures": 1, "repaired": [difference], "left": []}
        assert run_json("reconcile_payments") == {"bookings": 1, "captures": 1, "repaired": [], "left": []}


class TestExitStatus:
    def test_is_1_when_a_difference_is_left_to_an_operator(self, ledger):
        missing = collect(now=timezone.now())
        ledger.edit_statement = lambda _: None
        out, out_json = StringIO(), StringIO()

        with pytest.raises(SystemExit) as exit_of_table:
            run("reconcile_payments", out=out)
        with pytest.raises(SystemExit) as exit_of_json:
            run("reconcile_payments", "--json", out=out_json)

        assert (exit_of_table.value.code, exit_of_json.value.code) == (1, 1)
        assert out.getvalue().splitlines()[1:] == [
            f"missing\tleft\tinstant-{missing.pk}\t{missing.order_id}\t45.00 GBP",
            "Captures at the gateway: 0; in our books: 1. Differences repaired: 0; left to an operator: 1.",
        ]
        assert [difference["kind"] for difference in json.loads(out_json.getvalue())["left"]] == ["missing"]

    def test_is_2_when_the_gateway_keeps_no_books(self):
        with pytest.raises(CommandError, match="The instant gateway keeps no books") as error:
            run("reconcile_payments")

        assert error.value.returncode == 2

    @pytest.mark.parametrize("problem", [TimedOut("no answer"), Unreachable("no route")], ids=["silent", "away"])
    def test_is_3_when_the_gateway_could_not_be_queried(self, ledger, problem):
        ledger.script.append(problem)

        with pytest.raises(CommandError, match=f"The gateway could not be queried: {problem}") as error:
            run("reconcile_payments")

        assert error.value.returncode == 3


class TestSince:
    @pytest.mark.parametrize(
        ("arguments", "requested"),
        [((), None), (("--since", "2026-11-22T12:00+00:00"), datetime(2026, 11, 21, 12, tzinfo=UTC))],
    )
    def test_requests_all_entries_or_those_since_a_day_earlier(self, ledger, arguments, requested):
        run("reconcile_payments", *arguments)

        assert ledger.statements == [requested]
