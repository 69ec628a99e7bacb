import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from messaging.backoff import PAYMENT_QUERY_DELAYS
from messaging.contracts import PaymentRefunded, PaymentRequested, PaymentUnsettled
from messaging.models import Delivery
from messaging.subscribers import NotReady, PartlyUnavailable
from payments.charges import services
from payments.gateway.protocol import Answer, Outcome, TimedOut, Unreachable
from tests.outbox import announced, published
from tests.payments.scenes import NOON, collected, dues_of, status_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def lost(ledger) -> PaymentRequested:
    """A payment that was captured, but whose answer was lost."""
    return collected("tok_timeout")


def query_times() -> list[datetime]:
    deliveries = Delivery.objects.filter(subscriber="payments.ask_again").order_by("due_at")
    return list(deliveries.values_list("due_at", flat=True))


def exhaust_queries(request: PaymentRequested, ledger) -> None:
    """Leave every query but the last without an answer."""
    for ask in range(1, len(PAYMENT_QUERY_DELAYS)):
        ledger.script.append(TimedOut())
        services.ask_again({request.order_id: ask}, now=NOON)


class TestAskAgain:
    def test_finds_out_what_became_of_a_payment_whose_answer_was_lost(self, lost, ledger):
        assert status_of(lost) == "unknown"

        services.ask_again({lost.order_id: 1}, now=NOON)

        assert status_of(lost) == "succeeded"
        assert ledger.calls == {"charge": 1, "look_up": 1}
        assert announced() == {"payments.payment_succeeded": 1, "payments.payment_unsettled": 1}

    def test_queries_after_5_s_30_s_2_min_10_min_and_1_h(self, lost, ledger):
        exhaust_queries(lost, ledger)

        seconds = [(due_at - NOON).total_seconds() for due_at in query_times()]
        assert seconds == [5, 30, 120, 600, 3_600]
        assert status_of(lost) == "unknown"

    def test_skips_a_query_that_is_not_the_latest(self, lost, ledger):
        ledger.script.append(TimedOut())
        services.ask_again({lost.order_id: 1}, now=NOON)

        services.ask_again({lost.order_id: 1}, now=NOON)

        assert ledger.calls == {"charge": 1, "look_up": 1}
        assert len(query_times()) == 2

    def test_defers_the_payment_for_which_the_gateway_is_unreachable(self, ledger):
        requests = [collected("tok_timeout"), collected("tok_timeout")]
        ledger.script.append(Unreachable("Connection refused."))

        with pytest.raises(PartlyUnavailable):
            services.ask_again({request.order_id: 1 for request in requests}, now=NOON)

        assert sorted(map(status_of, requests)) == ["succeeded", "unknown"]
        assert len(query_times()) == 2

    def test_withdraws_a_payment_that_its_order_no_longer_wants(self, ledger):
        request = collected("tok_pending")
        services.stop(dues_of(request), now=NOON)
        services.collect([request], now=NOON)  # repeated, and left to the query
        assert ledger.calls == {"charge": 1}

        services.ask_again({request.order_id: 1}, now=NOON)

        assert status_of(request) == "cancelled"
        assert ledger.calls == {"charge": 1, "cancel": 1}


class TestGatewayThatCannotCancelYet:
    @pytest.fixture(autouse=True)
    def _undecided(self, ledger, monkeypatch):
        monkeypatch.setattr(ledger, "cancel", lambda _: Answer(outcome=Outcome.PROCESSING))

    def test_is_queried_again_about_an_overdue_payment(self):
        request = collected("tok_pending")

        with pytest.raises(NotReady) as not_ready:
            services.settle_overdue(dues_of(request), now=NOON)

        assert list(not_ready.value.keys) == [request.order_id]
        assert status_of(request) == "processing"

    def test_is_queried_again_about_a_withdrawn_payment(self):
        request = collected("tok_pending")
        services.stop(dues_of(request), now=NOON)

        services.ask_again({request.order_id: 1}, now=NOON)

        assert status_of(request) == "unknown"
        assert published(PaymentUnsettled)[-1] == PaymentUnsettled(order_id=request.order_id, ask=2)


class TestGatewayWithoutRecordOfACharge:
    def test_is_queried_again_about_the_charge_and_its_cancellation(self, ledger, monkeypatch):
        for call in ("charge", "cancel"):
            monkeypatch.setattr(ledger, call, lambda _: Answer(outcome=Outcome.ABSENT))

        request = collected("tok_visa")
        assert (status_of(request), query_times()) == ("unknown", [NOON + PAYMENT_QUERY_DELAYS[0]])

        with pytest.raises(NotReady):
            services.settle_overdue(dues_of(request), now=NOON)
        assert status_of(request) == "unknown"


class TestGatewayThatIsDown:
    def test_makes_no_dead_letters(self, ledger):
        requests = [collected("tok_timeout") for _ in range(3)]
        for request in requests:
            exhaust_queries(request, ledger)
        ledger.script.extend([TimedOut()] * 3)

        with pytest.raises(PartlyUnavailable) as outage:
            services.ask_again({request.order_id: 5 for request in requests}, now=NOON)

        assert sorted(outage.value.keys) == sorted(request.order_id for request in requests)

    def test_does_not_hold_a_worker_by_an_endless_answer(self, ledger, settings, monkeypatch):
        settings.MESSAGING = replace(settings.MESSAGING, handler_limit_seconds=0.4)
        end = threading.Event()
        monkeypatch.setattr(ledger, "charge", lambda _: end.wait(20))

        request = collected("tok_visa")
        end.set()

        assert status_of(request) == "unknown"


class TestThroughTheRelay:
    def test_an_unanswered_payment_is_a_dead_letter_until_it_is_replayed(self, lost, ledger, drain):
        exhaust_queries(lost, ledger)
        ledger.script.append(TimedOut())
        Delivery.objects.filter(status="pending").update(due_at=NOON)

        drain(after=NOON - datetime.now(UTC))

        (dead,) = Delivery.objects.dead()
        assert (dead.subscriber, dead.error_class, dead.attempts) == ("payments.ask_again", "PaymentUnknown", 1)
        assert lost.order_id in dead.failures.get().error
        assert (status_of(lost), len(query_times())) == ("unknown", 5)
        Delivery.objects.replay(NOON)
        drain(after=NOON - datetime.now(UTC))
        assert status_of(lost) == "succeeded"
        assert not Delivery.objects.dead().exists()

    def test_the_latest_of_two_queries_that_are_due_together_is_made(self, lost, drain):
        services.stop(dues_of(lost), now=NOON)
        Delivery.objects.filter(delayed=True).update(due_at=NOON + timedelta(seconds=5))

        drain(after=NOON + timedelta(minutes=2) - datetime.now(UTC))

        assert status_of(lost) == "succeeded"
        assert len(published(PaymentRefunded)) == 1
