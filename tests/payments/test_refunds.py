from datetime import UTC, datetime

import pytest

from messaging import contracts
from messaging.subscribers import Unavailable
from payments import gateway, refunds, services
from payments.gateway import Answer, Outcome, Repayment, TimedOut, Unreachable
from payments.models import Refund
from tests.gateways import LedgerGateway
from tests.outbox import published
from tests.payments.test_services import request

pytestmark = pytest.mark.django_db

NOON = datetime(2030, 6, 1, 12, tzinfo=UTC)


@pytest.fixture
def paid(ledger) -> str:
    """
    The id of an order that paid 100.00 GBP.
    """
    asked = request(amount=10_000)
    services.collect([asked], now=NOON)
    return asked.order_id


class RefusingGateway(LedgerGateway):
    def refund(self, repayment: Repayment) -> Answer:
        return Answer(outcome=Outcome.DECLINED, reference="the card is closed")


def give_back(order_id: str, amount: int) -> Refund:
    return refunds.refund(order_id, amount=amount, reason="a scratch", now=NOON)


def statuses() -> list[tuple[int, str]]:
    return list(Refund.objects.order_by("pk").values_list("amount", "status"))


class TestRefund:
    def test_gives_money_back_and_says_so(self, paid, ledger, drain):
        refund = give_back(paid, 6_000)

        drain()

        (repayment,) = ledger.refunded.values()
        assert (repayment.idempotency_key, repayment.amount, repayment.currency) == (str(refund.pk), 6_000, "GBP")
        assert list(ledger.captured) == [repayment.charge_key]
        assert published(contracts.PaymentRefunded) == [
            contracts.PaymentRefunded(
                order_id=paid,
                refund_id=str(refund.pk),
                amount=6_000,
                currency="GBP",
                email="ada@example.com",
                customer_id="17",
            )
        ]
        refund.refresh_from_db()
        assert (refund.status, refund.provider_reference) == ("succeeded", f"instant-{refund.pk}")

    def test_gives_back_in_parts_and_never_more_than_was_captured(self, paid, ledger, drain):
        for part in (5_000, 1_000, 2_500, 500):
            give_back(paid, part)
        drain()

        with pytest.raises(refunds.RefundExceedsCapture, match="between 1 and 1000 minor units"):
            give_back(paid, 1_001)

        give_back(paid, 1_000)
        drain()
        assert sum(repayment.amount for repayment in ledger.refunded.values()) == 10_000

    @pytest.mark.parametrize("amount", [0, -1, 10_001])
    def test_refuses_an_amount_that_is_not_there_to_give(self, paid, amount):
        with pytest.raises(refunds.RefundExceedsCapture):
            give_back(paid, amount)

        assert statuses() == []

    def test_counts_what_is_still_on_its_way(self, paid):
        give_back(paid, 6_000)

        with pytest.raises(refunds.RefundExceedsCapture):
            give_back(paid, 6_000)

        assert statuses() == [(6_000, "pending")]

    def test_refuses_for_an_order_that_paid_nothing(self, ledger):
        declined = request(payment_method="tok_declined")
        services.collect([declined], now=NOON)

        with pytest.raises(refunds.RefundExceedsCapture):
            give_back(declined.order_id, 1)


class TestSendRefunds:
    def test_frees_the_amount_that_the_gateway_refused(self, paid, drain, monkeypatch):
        give_back(paid, 10_000)
        monkeypatch.setattr(gateway, "current", RefusingGateway)

        drain()

        assert statuses() == [(10_000, "failed")]
        assert published(contracts.PaymentRefunded) == []
        give_back(paid, 10_000)

    @pytest.mark.parametrize("silence", [TimedOut(), Unreachable()], ids=["timed out", "unreachable"])
    def test_asks_again_by_the_same_key_when_the_gateway_is_silent(self, paid, ledger, silence):
        refund = give_back(paid, 6_000)
        ledger.script.append(silence)
        with pytest.raises(Unavailable):
            refunds.send([str(refund.pk)], now=NOON)
        assert statuses() == [(6_000, "pending")]

        refunds.send([str(refund.pk)], now=NOON)

        assert list(ledger.refunded) == [str(refund.pk)]
        assert ledger.calls["refund"] == 2
        assert statuses() == [(6_000, "succeeded")]

    def test_settles_the_others_when_one_is_unanswered(self, paid, ledger):
        halves = [give_back(paid, 1_000), give_back(paid, 1_000)]
        ledger.script.append(TimedOut())

        with pytest.raises(Unavailable):
            refunds.send([str(refund.pk) for refund in halves], now=NOON)

        assert sorted(statuses()) == [(1_000, "pending"), (1_000, "succeeded")]

    def test_asks_again_while_the_gateway_has_not_decided(self, paid, ledger, monkeypatch):
        refund = give_back(paid, 6_000)
        monkeypatch.setattr(ledger, "refund", lambda _: Answer(outcome=Outcome.PROCESSING))

        with pytest.raises(Unavailable) as undecided:
            refunds.send([str(refund.pk)], now=NOON)

        assert list(undecided.value.keys) == [paid]
        assert statuses() == [(6_000, "pending")]

    def test_gives_back_once_however_often_it_is_told(self, paid, ledger):
        refund = give_back(paid, 6_000)

        refunds.send([str(refund.pk)], now=NOON)
        refunds.send([str(refund.pk)], now=NOON)

        assert ledger.calls["refund"] == 1
        assert len(published(contracts.PaymentRefunded)) == 1
