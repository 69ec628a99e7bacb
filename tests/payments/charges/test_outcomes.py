from datetime import timedelta

import pytest

from messaging.backoff import PAYMENT_QUERY_DELAYS
from messaging.contracts import PaymentFailed
from payments.charges.gateway_queries import NOTHING_TO_PAY
from payments.charges.outcomes import apply_replies
from payments.gateway.protocol import Answer, Outcome, TimedOut
from payments.models import Refund
from tests.outbox import allowed_for_a_hundredfold, announced, counting_statements, published
from tests.payments.books import CaptureRow, capture_rows, refund_rows
from tests.payments.charges.scenes import ENDED, PAID, REPLIES, apply_to, intent_that_is
from tests.payments.scenes import NOON

pytestmark = pytest.mark.django_db

OPEN = ["processing", "unknown"]
KEPT = CaptureRow(4_500)


class TestApplyToAnOpenPayment:
    @pytest.mark.parametrize("status", OPEN)
    @pytest.mark.parametrize(
        ("reply", "becomes", "events", "captures"),
        [
            ("succeeded", "succeeded", {"payments.payment_succeeded": 1}, [KEPT]),
            ("declined", "failed", {"payments.payment_failed": 1}, []),
            ("cancelled", "cancelled", {"payments.payment_failed": 1}, []),
            ("processing", "processing", {}, []),
            ("timed out", "unknown", {"payments.payment_unsettled": 1}, []),
            ("undecided", "unknown", {"payments.payment_unsettled": 1}, []),
        ],
    )
    def test_moves_it_as_the_gateway_replies(self, status, reply, becomes, events, captures):
        intent = apply_to(intent_that_is(status), REPLIES[reply])

        assert (intent.status, announced(), capture_rows()) == (becomes, events, captures)

    @pytest.mark.parametrize("status", OPEN)
    @pytest.mark.parametrize("reply", ["absent", "unreachable"])
    def test_leaves_it_when_the_gateway_has_no_record_or_was_not_reached(self, status, reply):
        intent = apply_to(intent_that_is(status), REPLIES[reply])

        assert (intent.status, announced(), capture_rows()) == (status, {}, [])

    def test_stores_the_reference_and_the_page_until_it_ends(self):
        answer = Answer(outcome=Outcome.PROCESSING, reference="ch_1", page="https://bank.example/agree")

        intent = apply_to(intent_that_is("processing"), answer)
        assert (intent.provider_reference, intent.page, intent.failure_reason) == ("ch_1", answer.page, "")

        assert apply_to(intent, PAID).page == ""

    def test_publishes_the_gateways_reason_for_declining(self):
        intent = apply_to(intent_that_is("processing"), Answer(outcome=Outcome.DECLINED, reason="card_expired"))

        assert intent.failure_reason == "card_expired"
        assert published(PaymentFailed) == [
            PaymentFailed(order_id=str(intent.order_id), reason="declined", detail="card_expired")
        ]

    def test_schedules_no_query_after_the_last(self):
        last = len(PAYMENT_QUERY_DELAYS)

        intent = apply_to(intent_that_is("unknown", asks=last), TimedOut())

        assert (intent.status, intent.asks, announced()) == ("unknown", last, {})

    def test_lets_a_payment_of_nothing_succeed_without_a_capture(self):
        intent = apply_to(intent_that_is("processing", amount=0), NOTHING_TO_PAY)

        assert (intent.status, announced(), capture_rows()) == ("succeeded", {"payments.payment_succeeded": 1}, [])

    def test_blames_no_customer_when_a_withdrawn_payment_is_cancelled(self):
        intent = apply_to(intent_that_is("unknown", withdrawn_at=NOON), REPLIES["cancelled"])

        assert (intent.status, announced(), capture_rows()) == ("cancelled", {}, [])


class TestApplyToAnEndedPayment:
    @pytest.mark.parametrize("status", ENDED)
    @pytest.mark.parametrize("reply", sorted(REPLIES.keys() - {"succeeded"}))
    def test_moves_nothing(self, status, reply):
        intent = intent_that_is(status)
        before = capture_rows()

        apply_to(intent, REPLIES[reply])

        assert (intent.status, announced(), capture_rows(), refund_rows()) == (status, {}, before, [])


class TestStatements:
    @pytest.mark.parametrize("reply", ["succeeded", "declined", "cancelled", "timed out"])
    @pytest.mark.parametrize("status", ["processing", "cancelled"])
    def test_are_as_many_for_two_hundred_payments_as_for_two(self, status, reply):
        few, many = ([intent_that_is(status) for _ in range(size)] for size in (2, 200))
        with counting_statements() as for_two:
            apply_replies({str(intent.order_id): REPLIES[reply] for intent in few}, now=NOON)
        later = NOON + timedelta(minutes=1)
        with counting_statements() as for_many:
            apply_replies({str(intent.order_id): REPLIES[reply] for intent in many}, now=later)

        assert len(for_many) <= allowed_for_a_hundredfold(len(for_two))
        assert Refund.objects.count() == (202 if (status, reply) == ("cancelled", "succeeded") else 0)
