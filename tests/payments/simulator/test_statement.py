from datetime import timedelta

from payments.simulator.charges import statement
from payments.simulator.ledger import EntryKind
from tests.payments.simulator.bench import Bench


class TestStatement:
    def test_is_empty_at_first(self, bench: Bench) -> None:
        assert statement(bench.ledger) == []

    def test_lists_thousands_of_captures_with_their_refunds(self, bench: Bench) -> None:
        with bench.ledger.transaction():
            for n in range(3_001):
                bench.ledger.append(EntryKind.CHARGED, f"charge-{n}", reference=f"sim_{n}", order_id=f"order-{n}")
                bench.ledger.append(EntryKind.CAPTURED, f"charge-{n}", amount=100 + n, currency="GBP")
                bench.ledger.append(EntryKind.REFUNDED, f"charge-{n}", key=f"refund-{n}", amount=100, currency="GBP")

        captures = statement(bench.ledger)

        assert [capture["charge_key"] for capture in captures] == [f"charge-{n}" for n in range(3_001)]
        assert captures[3_000]["refunds"] == [{"key": "refund-3000", "reference": "", "amount": 100}]

    def test_lists_captures_made_or_refunded_since_a_time(self, bench: Bench) -> None:
        for key in ("old", "refunded since"):
            bench.paid(key=key)
        since = bench.now
        bench.wait(3_600)
        bench.paid(key="captured since")
        bench.refund(amount=1, of="refunded since")

        captures = statement(bench.ledger, since + timedelta(seconds=1))

        assert [capture["charge_key"] for capture in captures] == ["refunded since", "captured since"]

    def test_omits_refunds_that_moved_no_money(self, bench: Bench) -> None:
        bench.paid("tok_refund_slow")
        bench.refund()
        bench.refund("too much", 9_999)

        [capture] = statement(bench.ledger)

        assert capture["refunds"] == []
