import pytest

from payments.simulator.charges import statement
from payments.simulator.ledger import EntryKind
from tests.payments.simulator.bench import Bench
from tests.simulators import ApiClient


def keys(captures: list[dict]) -> list[str]:
    return [capture["charge_key"] for capture in captures]


class TestStatement:
    def test_lists_captures_with_their_refunds(self, bench: Bench, client: ApiClient) -> None:
        charge = bench.paid()
        client.charge("charge-2", token="tok_pending")
        refund = client.refund(amount=1_000).json()

        assert client.get("/v1/statement").json() == {
            "captures": [
                {
                    "charge_key": "charge-1",
                    "reference": charge.reference,
                    "order_id": "order-1",
                    "amount": 4_500,
                    "currency": "GBP",
                    "captured_at": "2026-11-22T12:01:00.000000+00:00",
                    "refunds": [{"key": "refund-1", "reference": refund["reference"], "amount": 1_000}],
                }
            ],
            "now": "2026-11-22T12:02:00.000000+00:00",
        }

    def test_lists_more_than_a_thousand_captures(self, bench: Bench) -> None:
        with bench.ledger.transaction():
            for n in range(1_001):
                bench.ledger.append(EntryKind.CAPTURED, f"charge-{n}", amount=100, currency="GBP")

        assert keys(statement(bench.ledger)) == [f"charge-{n}" for n in range(1_001)]

    def test_lists_captures_made_or_refunded_since_a_time(self, bench: Bench, client: ApiClient) -> None:
        for key in ("old", "refunded since"):
            bench.paid(key=key)
        now = client.get("/v1/statement").json()["now"]
        bench.wait(3_600)
        bench.paid(key="captured since")
        bench.refund(amount=1, of="refunded since")

        for query in (f"since={now}", {"since": now}):
            response = client.get("/v1/statement", query_string=query)
            assert keys(response.json()["captures"]) == ["refunded since", "captured since"]

    def test_omits_refunds_that_moved_no_money(self, bench: Bench) -> None:
        bench.paid("tok_refund_slow")
        bench.refund()
        bench.refund("too much", 9_999)

        [capture] = statement(bench.ledger)

        assert capture["refunds"] == []

    @pytest.mark.parametrize("since", ["yesterday", "2026-13-01", "0001-01-01T00:00:00+23:00"])
    def test_rejects_an_invalid_time(self, client: ApiClient, since: str) -> None:
        response = client.get("/v1/statement", query_string={"since": since})

        assert (response.status_code, response.json()["error"]) == (400, "invalid_request")
