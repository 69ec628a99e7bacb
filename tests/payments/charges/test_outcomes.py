from collections.abc import Mapping
from datetime import timedelta
from uuid import uuid4

import pytest

from messaging import contracts
from payments.charges import outcomes
from payments.charges.captures import record_captures
from payments.charges.gateway_queries import NOTHING_TO_PAY
from payments.gateway.protocol import Answer, Money, Outcome, Reply, TimedOut, Unreachable
from payments.models import Capture, PaymentIntent, Refund
from tests.outbox import allowed_for_a_hundredfold, announced, counting_statements, published
from tests.payments.scenes import NOON, captured, given_back

pytestmark = pytest.mark.django_db

OPEN, ENDED = ["processing", "unknown"], ["succeeded", "failed", "cancelled"]
REPLIES: Mapping[object, Reply] = {outcome: Answer(outcome=outcome, reference="ch_1") for outcome in Outcome} | {
    TimedOut: TimedOut(),
    Unreachable: Unreachable(),
}
PAID = REPLIES[Outcome.SUCCEEDED]
PAID_AGAIN = Answer(outcome=Outcome.SUCCEEDED, reference="ch_2")
KEPT, RETURNED = (4_500, "GBP", "", 0), (4_500, "GBP", "", 4_500)
LATE, TWICE = "paid when the order was over", "paid twice"


def intent_that_is(status: str, *, paid: bool = True, **changes: object) -> PaymentIntent:
    """
    Store a payment of 45.00 GBP, captured as "ch_1" if it succeeded.
    """
    fields = {"order_id": uuid4(), "amount": 4_500, "currency": "GBP", "status": status, "created_at": NOON}
    intent = PaymentIntent.objects.create(**fields | changes)
    if status == "succeeded" and paid:
        Capture.objects.create(intent=intent, reference="ch_1", amount=4_500, currency="GBP", captured_at=NOON)
    return intent


def tell(intent: PaymentIntent, *replies: Reply) -> PaymentIntent:
    for reply in replies:
        outcomes.apply_replies({str(intent.order_id): reply}, now=NOON)
    intent.refresh_from_db()
    return intent


def paid_in(amount: int, currency: str) -> Answer:
    return Answer(outcome=Outcome.SUCCEEDED, reference="ch_1", captured=Money(amount, currency))


def anomalies() -> list[tuple[str, int, str, str]]:
    return [(it.anomaly, it.amount, it.currency, it.detail) for it in published(contracts.PaymentAnomalyFound)]


class TestApplyToAnOpenPayment:
    @pytest.mark.parametrize("status", OPEN)
    @pytest.mark.parametrize(
        ("said", "becomes", "events", "money"),
        [
            (Outcome.SUCCEEDED, "succeeded", {"payments.payment_succeeded": 1}, [KEPT]),
            (Outcome.DECLINED, "failed", {"payments.payment_failed": 1}, []),
            (Outcome.CANCELLED, "cancelled", {"payments.payment_failed": 1}, []),
            (Outcome.PROCESSING, "processing", {}, []),
            (TimedOut, "unknown", {"payments.payment_unsettled": 1}, []),
        ],
    )
    def test_moves_it_as_the_gateway_says(self, status, said, becomes, events, money):
        intent = tell(intent_that_is(status), REPLIES[said])

        assert (intent.status, announced(), captured()) == (becomes, events, money)

    @pytest.mark.parametrize("status", OPEN)
    @pytest.mark.parametrize("said", [Outcome.ABSENT, Unreachable])
    def test_leaves_it_when_the_gateway_knows_nothing(self, status, said):
        intent = tell(intent_that_is(status), REPLIES[said])

        assert (intent.status, announced(), captured()) == (status, {}, [])

    def test_writes_down_what_the_gateway_tells_of_it(self):
        answer = Answer(outcome=Outcome.PROCESSING, reference="ch_1", page="https://bank.example/agree")

        intent = tell(intent_that_is("processing"), answer)

        assert (intent.provider_reference, intent.page, intent.failure_reason) == ("ch_1", answer.page, "")

    def test_tells_in_the_gateways_word_why_it_declined(self):
        intent = tell(intent_that_is("processing"), Answer(outcome=Outcome.DECLINED, reason="card_expired"))

        assert intent.failure_reason == "card_expired"
        assert published(contracts.PaymentFailed) == [
            contracts.PaymentFailed(order_id=str(intent.order_id), reason="declined", detail="card_expired")
        ]

    def test_sends_the_customer_to_no_page_once_it_has_ended(self):
        intent = tell(intent_that_is("processing", page="https://bank.example/agree"), PAID)

        assert intent.page == ""

    def test_asks_no_more_after_the_last_ask(self):
        last = len(outcomes.PAYMENT_QUERY_DELAYS)

        intent = tell(intent_that_is("unknown", asks=last), TimedOut())

        assert (intent.status, intent.asks, announced()) == ("unknown", last, {})

    def test_takes_nothing_as_paid_without_booking_any_money(self):
        intent = tell(intent_that_is("processing", amount=0), NOTHING_TO_PAY)

        assert (intent.status, announced(), captured()) == ("succeeded", {"payments.payment_succeeded": 1}, [])


class TestApplyToAPaymentThatHasEnded:
    @pytest.mark.parametrize("status", ENDED)
    @pytest.mark.parametrize("said", [said for said in REPLIES if said is not Outcome.SUCCEEDED])
    def test_moves_nothing(self, status, said):
        intent = intent_that_is(status)
        before = captured()

        tell(intent, REPLIES[said])

        assert (intent.status, announced(), captured(), given_back()) == (status, {}, before, [])

    def test_books_nothing_twice(self):
        intent = tell(intent_that_is("succeeded"), PAID, PAID, paid_in(4_500, "GBP"))

        assert (intent.status, announced(), captured(), given_back()) == ("succeeded", {}, [KEPT], [])

    @pytest.mark.parametrize("status", ["failed", "cancelled"])
    def test_gives_back_once_what_was_paid_late(self, status):
        intent = tell(intent_that_is(status), PAID, PAID)

        assert (intent.status, captured()) == (status, [RETURNED])
        assert given_back() == [(4_500, "pending", LATE)]
        assert anomalies() == [("paid_late", 4_500, "GBP", "ch_1")]
        assert announced() == {"payments.payment_anomaly_found": 1, "payments.refund_requested": 1}

    def test_gives_back_once_what_was_paid_twice(self):
        intent = tell(intent_that_is("succeeded"), PAID_AGAIN, PAID_AGAIN)

        assert (intent.status, captured()) == ("succeeded", [KEPT, (4_500, "GBP", "surplus", 4_500)])
        assert given_back() == [(4_500, "pending", TWICE)]
        assert anomalies() == [("paid_twice", 4_500, "GBP", "ch_2")]

    def test_gives_both_back_when_both_came_late(self):
        tell(intent_that_is("cancelled"), PAID, PAID_AGAIN)

        assert captured() == [RETURNED, (4_500, "GBP", "surplus", 4_500)]
        assert given_back() == [(4_500, "pending", LATE), (4_500, "pending", TWICE)]


class TestApplyToAWithdrawnPayment:
    def test_gives_back_what_was_captured_after_all_and_alarms_nobody(self):
        intent = tell(intent_that_is("processing", withdrawn_at=NOON), PAID)

        assert (intent.status, captured()) == ("succeeded", [RETURNED])
        assert given_back() == [(4_500, "pending", "paid after the order was cancelled")]
        assert anomalies() == []

    def test_blames_nobody_for_not_paying(self):
        intent = tell(intent_that_is("unknown", withdrawn_at=NOON), REPLIES[Outcome.CANCELLED])

        assert (intent.status, announced(), captured()) == ("cancelled", {}, [])


class TestApplyWhatIsNotWhatWasAskedFor:
    @pytest.mark.parametrize(("amount", "currency"), [(4_499, "GBP"), (4_501, "GBP"), (4_500, "USD"), (1, "JPY")])
    def test_fails_the_payment_and_gives_the_money_back(self, amount, currency):
        intent = tell(intent_that_is("processing"), paid_in(amount, currency), paid_in(amount, currency))

        assert (intent.status, captured()) == ("failed", [(amount, currency, "surplus", amount)])
        assert given_back() == [(amount, "pending", "not what the order costs")]
        assert anomalies() == [("mismatch", amount, currency, "ch_1")]
        assert published(contracts.PaymentFailed) == [
            contracts.PaymentFailed(order_id=str(intent.order_id), reason="mismatch")
        ]

    def test_fails_the_payment_when_nothing_was_captured(self):
        intent = tell(intent_that_is("processing"), paid_in(0, "GBP"))

        assert (intent.status, captured(), announced()) == ("failed", [], {"payments.payment_failed": 1})

    @pytest.mark.parametrize("status", ENDED)
    def test_gives_it_back_whatever_became_of_the_payment(self, status):
        wrong = Answer(outcome=Outcome.SUCCEEDED, reference="ch_2", captured=Money(1, "GBP"))

        intent = tell(intent_that_is(status), wrong)

        assert intent.status == status
        assert captured()[-1] == (1, "GBP", "surplus", 1)
        assert given_back() == [(1, "pending", "not what the order costs")]


class TestBook:
    def test_keeps_the_place_of_the_payment_free_while_it_is_open(self):
        intent = intent_that_is("processing")

        record_captures({intent: PAID_AGAIN}, now=NOON)
        tell(intent, PAID)

        assert intent.status == "succeeded"
        assert captured() == [(4_500, "GBP", "surplus", 4_500), KEPT]
        assert given_back() == [(4_500, "pending", TWICE)]

    def test_gives_back_what_came_for_an_order_that_costs_nothing(self):
        intent = intent_that_is("succeeded", amount=0, paid=False)

        record_captures({intent: paid_in(500, "GBP")}, now=NOON)

        assert captured() == [(500, "GBP", "surplus", 500)]
        assert given_back() == [(500, "pending", "not what the order costs")]


class TestStatements:
    @pytest.mark.parametrize("said", [Outcome.SUCCEEDED, Outcome.DECLINED, Outcome.CANCELLED, TimedOut])
    @pytest.mark.parametrize("status", ["processing", "cancelled"])
    def test_are_as_many_for_two_hundred_as_for_two(self, status, said):
        few, many = ([intent_that_is(status) for _ in range(size)] for size in (2, 200))
        with counting_statements() as for_two:
            outcomes.apply_replies({str(intent.order_id): REPLIES[said] for intent in few}, now=NOON)
        with counting_statements() as for_many:
            outcomes.apply_replies(
                {str(intent.order_id): REPLIES[said] for intent in many}, now=NOON + timedelta(minutes=1)
            )

        assert len(for_many) <= allowed_for_a_hundredfold(len(for_two))
        assert Refund.objects.count() == (202 if (status, said) == ("cancelled", Outcome.SUCCEEDED) else 0)
