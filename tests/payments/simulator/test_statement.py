import json
from datetime import timedelta

from payments.simulator.entries import Kind
from payments.simulator.statement import Reports, Total
from tests.payments.simulator.benches import NOON, Bench


def statement(bench: Bench, **asked) -> dict:
    return json.loads(b"".join(Reports(bench.ledger).statement(**asked)))


class TestStatement:
    def test_is_empty_at_first(self, bench: Bench) -> None:
        assert statement(bench) == {"captures": [], "now": "2026-11-22T12:00:00.000000+00:00"}

    def test_tells_thousands_piece_by_piece(self, bench: Bench) -> None:
        with bench.ledger.turn():
            for n in range(3_001):
                bench.ledger.append(Kind.CHARGED, f"charge-{n}", reference=f"sim_{n}", order_id=f"order-{n}")
                bench.ledger.append(Kind.CAPTURED, f"charge-{n}", amount=100 + n, currency="GBP")
                bench.ledger.append(Kind.REFUNDED, f"charge-{n}", key=f"refund-{n}", amount=100, currency="GBP")

        captures = statement(bench)["captures"]

        assert [capture["charge_key"] for capture in captures] == [f"charge-{n}" for n in range(3_001)]
        assert captures[3_000]["refunds"] == [{"key": "refund-3000", "reference": "", "amount": 100}]

    def test_tells_what_was_captured_or_refunded_since(self, bench: Bench) -> None:
        for key in ("old", "refunded since"):
            bench.paid(key=key)
        since = bench.now
        bench.wait(3_600)
        bench.paid(key="captured since")
        bench.refund(amount=1, of="refunded since")

        captures = statement(bench, since=since + timedelta(seconds=1))["captures"]

        assert [capture["charge_key"] for capture in captures] == ["refunded since", "captured since"]

    def test_is_of_one_moment(self, bench: Bench) -> None:
        bench.paid()
        pieces = Reports(bench.ledger).statement()
        first = next(pieces)
        bench.paid(key="charge-2")
        bench.refund(amount=1)

        [capture] = json.loads(first + b"".join(pieces))["captures"]

        assert (capture["charge_key"], capture["refunds"]) == ("charge-1", [])


class TestTotals:
    def test_sum_up_each_currency(self, bench: Bench) -> None:
        bench.paid()
        bench.paid(key="charge-2", amount=1_000, currency="JPY")
        bench.refund(amount=500)

        assert Reports(bench.ledger).totals() == [Total("GBP", 4_500, 500), Total("JPY", 1_000, 0)]


class TestNewest:
    def test_come_first(self, bench: Bench) -> None:
        for n in range(4):
            bench.charge(key=f"charge-{n}")

        assert [charge.key for charge in Reports(bench.ledger).newest(2)] == ["charge-3", "charge-2"]
        assert bench.now == NOON
