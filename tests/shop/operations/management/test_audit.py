"""
The output and exit status of `manage.py audit`.
"""

import json
from io import StringIO

import pytest
from django.core.management import call_command

from inventory.models import StockItem
from tests.processes import manage, run
from tests.shop.operations.audit.mutants import a_penny_is_added, unguard


@pytest.mark.django_db
class TestAuditCommand:
    def test_prints_ok_and_exits_with_0(self, day):
        output, status = audit()

        assert "ok         S1           2 rows  every SKU has on hand ≥ reserved ≥ 0" in output.splitlines()
        assert output.endswith("The verdict: ok.\n")
        assert status == 0

    def test_prints_a_violation_and_exits_with_1(self, day):
        a_penny_is_added(day)

        output, status = audit()

        assert "violation  O2           5 rows  an order's total is the sum of price × quantity" in output
        assert f"1 violations, for example {day.sold_out.pk}" in output
        assert status == 1

    def test_prints_unknown_with_reasons_for_an_empty_shop_and_exits_with_2(self):
        output, status = audit("--json")
        text, _ = audit()

        report = json.loads(output)
        verdicts = {(check["verdict"], check["reason"]) for check in report["checks"]}
        assert (report["verdict"], verdicts) == ("unknown", {("unknown", "there are no rows to check yet")})
        assert text.splitlines().count("           because there are no rows to check yet") == len(report["checks"])
        assert status == 2

    def test_gives_at_most_five_examples(self, day):
        unguard(StockItem)
        StockItem.objects.bulk_create([StockItem(sku=f"CHAIR-{number}", reserved=-1) for number in range(6)])

        output, _ = audit("--json")

        bounds = json.loads(output)["checks"][0]
        assert bounds == {
            "id": "S1",
            "rule": "every SKU has on hand ≥ reserved ≥ 0",
            "verdict": "violation",
            "evaluated": 8,
            "violations": 6,
            "examples": ["CHAIR-0", "CHAIR-1", "CHAIR-2", "CHAIR-3", "CHAIR-4"],
            "reason": "",
        }

    def test_exits_with_3_when_there_is_no_database(self, tmp_path):
        finished = run(manage("audit"), DATABASE_URL=f"sqlite:///{tmp_path}/no/such/folder.sqlite3", DEBUG="on")

        assert (finished.status, finished.output) == (3, "")
        assert "The audit could not run: unable to open database file" in finished.errors


def audit(*arguments: str) -> tuple[str, int]:
    """
    Run the command and return its output and exit status.
    """
    output, status = StringIO(), 0
    try:
        call_command("audit", *arguments, stdout=output)
    except SystemExit as end:
        status = end.code
    return output.getvalue(), status
