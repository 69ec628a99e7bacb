import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from django.db import transaction

from messaging import contracts
from messaging.models import Delivery
from messaging.outbox import publish
from messaging.subscribers import NotReady, PartlyUnavailable
from payments.charges import services
from payments.gateway.protocol import Answer, Outcome, TimedOut, Unreachable
from tests.outbox import announced, published
from tests.payments.scenes import dues_of, payment_requested, status_of

pytestmark = pytest.mark.django_db

NOON = datetime(2030, 6, 1, 12, tzinfo=UTC)
SOON = timedelta(minutes=2)


@pytest.fixture
def lost(ledger) -> contracts.PaymentRequested:
    """
    A payment that was captured, and whose answer was lost.
    """
    asked = payment_requested(payment_method="tok_timeout")
    services.collect([asked], now=NOON)
    return asked


def asks() -> list[datetime]:
    deliveries = Delivery.objects.filter(subscriber="payments.ask_again").order_by("due_at")
    return list(deliveries.values_list("due_at", flat=True))


def silence_for_good(asked: contracts.PaymentRequested, ledger) -> None:
    """
    Leave every ask but the last without an answer.
    """
    for ask in range(1, len(services.PAYMENT_QUERY_DELAYS)):
        ledger.script.append(TimedOut())
        services.ask_again({asked.order_id: ask}, now=NOON)


class TestAskAgain:
    def test_finds_out_what_became_of_a_payment_whose_answer_was_lost(self, lost, ledger):
        assert status_of(lost) == "unknown"

        services.ask_again({lost.order_id: 1}, now=NOON)

        assert status_of(lost) == "succeeded"
        assert ledger.calls == {"charge": 1, "look_up": 1}
        assert announced() == {"payments.payment_succeeded": 1, "payments.payment_unsettled": 1}

    def test_asks_after_5_s_30_s_2_min_10_min_and_1_h(self, lost, ledger):
        silence_for_good(lost, ledger)

        assert [due_at - NOON for due_at in asks()] == [
            timedelta(seconds=5),
            timedelta(seconds=30),
            timedelta(minutes=2),
            timedelta(minutes=10),
            timedelta(hours=1),
        ]
        assert status_of(lost) == "unknown"

    def test_gives_up_after_the_last_ask_and_tells_a_person(self, lost, ledger):
        silence_for_good(lost, ledger)
        ledger.script.append(TimedOut())

        with pytest.raises(services.PaymentUnknown, match=lost.order_id):
            services.ask_again({lost.order_id: 5}, now=NOON)

        assert len(asks()) == 5
        assert status_of(lost) == "unknown"

    def test_asks_once_more_when_a_person_replays_it(self, lost, ledger):
        silence_for_good(lost, ledger)
        ledger.script.append(TimedOut())
        with pytest.raises(services.PaymentUnknown):
            services.ask_again({lost.order_id: 5}, now=NOON)

        services.ask_again({lost.order_id: 5}, now=NOON)

        assert status_of(lost) == "succeeded"

    def test_leaves_an_ask_out_that_is_not_the_latest(self, lost, ledger):
        ledger.script.append(TimedOut())
        services.ask_again({lost.order_id: 1}, now=NOON)

        services.ask_again({lost.order_id: 1}, now=NOON)

        assert ledger.calls == {"charge": 1, "look_up": 1}
        assert len(asks()) == 2

    def test_defers_when_the_gateway_cannot_be_reached(self, lost, ledger):
        ledger.script.append(Unreachable("Connection refused."))

        with pytest.raises(PartlyUnavailable):
            services.ask_again({lost.order_id: 1}, now=NOON)

        assert status_of(lost) == "unknown"
        assert len(asks()) == 1

    def test_settles_the_others_when_one_is_unreachable(self, ledger):
        both = [payment_requested(payment_method="tok_timeout"), payment_requested(payment_method="tok_timeout")]
        services.collect(both, now=NOON)
        ledger.script.append(Unreachable())

        with pytest.raises(PartlyUnavailable):
            services.ask_again({asked.order_id: 1 for asked in both}, now=NOON)

        assert sorted(map(status_of, both)) == ["succeeded", "unknown"]

    def test_withdraws_what_its_order_no_longer_wants(self, ledger):
        asked = payment_requested(payment_method="tok_pending")
        services.collect([asked], now=NOON)
        services.stop(dues_of(asked), now=NOON)

        services.ask_again({asked.order_id: 1}, now=NOON)

        assert status_of(asked) == "cancelled"
        assert ledger.calls == {"charge": 1, "cancel": 1}

    def test_leaves_it_to_the_next_ask_when_the_request_comes_again(self, ledger):
        asked = payment_requested(payment_method="tok_pending")
        services.collect([asked], now=NOON)
        services.stop(dues_of(asked), now=NOON)

        services.collect([asked], now=NOON)

        assert ledger.calls == {"charge": 1}


class TestAGatewayThatCannotCancelYet:
    @pytest.fixture(autouse=True)
    def undecided(self, ledger, monkeypatch):
        monkeypatch.setattr(ledger, "cancel", lambda _: Answer(outcome=Outcome.PROCESSING))

    def test_is_asked_again_about_an_overdue_payment(self, ledger):
        asked = payment_requested(payment_method="tok_pending")
        services.collect([asked], now=NOON)

        with pytest.raises(NotReady) as undecided:
            services.settle_overdue(dues_of(asked), now=NOON)

        assert list(undecided.value.keys) == [asked.order_id]
        assert status_of(asked) == "processing"

    def test_is_asked_again_about_a_withdrawn_payment(self, ledger):
        asked = payment_requested(payment_method="tok_pending")
        services.collect([asked], now=NOON)
        services.stop(dues_of(asked), now=NOON)

        services.ask_again({asked.order_id: 1}, now=NOON)

        assert status_of(asked) == "unknown"
        assert published(contracts.PaymentUnsettled)[-1] == contracts.PaymentUnsettled(order_id=asked.order_id, ask=2)


class TestAGatewayThatKnowsNothingOfWhatItWasAsked:
    @pytest.fixture(autouse=True)
    def forgetful(self, ledger, monkeypatch):
        for call in ("charge", "cancel"):
            monkeypatch.setattr(ledger, call, lambda _: Answer(outcome=Outcome.ABSENT))

    def test_leaves_a_charge_in_doubt(self, ledger):
        asked = payment_requested()

        services.collect([asked], now=NOON)

        assert status_of(asked) == "unknown"
        assert asks() == [NOON + services.PAYMENT_QUERY_DELAYS[0]]

    def test_is_asked_again_about_an_overdue_payment(self, ledger):
        asked = payment_requested()
        services.collect([asked], now=NOON)

        with pytest.raises(NotReady):
            services.settle_overdue(dues_of(asked), now=NOON)

        assert status_of(asked) == "unknown"


class TestADeadGateway:
    def test_has_nobody_given_up_because_of_it(self, ledger):
        several = [payment_requested(payment_method="tok_timeout") for _ in range(3)]
        for asked in several:
            services.collect([asked], now=NOON)
            silence_for_good(asked, ledger)
        ledger.script.extend([TimedOut()] * 3)

        with pytest.raises(PartlyUnavailable) as outage:
            services.ask_again({asked.order_id: 5 for asked in several}, now=NOON)

        assert sorted(outage.value.keys) == sorted(it.order_id for it in several)

    def test_does_not_hold_a_worker_by_answers_without_end(self, ledger, settings, monkeypatch):
        settings.MESSAGING = replace(settings.MESSAGING, handler_limit_seconds=0.4)
        the_end = threading.Event()
        monkeypatch.setattr(ledger, "charge", lambda _: the_end.wait(20))
        asked = payment_requested()

        services.collect([asked], now=NOON)
        the_end.set()

        assert status_of(asked) == "unknown"


class TestThroughTheRelay:
    def test_an_unanswered_payment_is_a_dead_letter_until_it_is_replayed(self, lost, ledger, drain):
        silence_for_good(lost, ledger)
        ledger.script.append(TimedOut())
        Delivery.objects.filter(status="pending").update(due_at=NOON)

        drain(after=NOON - datetime.now(UTC))

        (dead,) = Delivery.objects.dead()
        assert (dead.subscriber, dead.error_class, dead.attempts) == ("payments.ask_again", "PaymentUnknown", 1)
        Delivery.objects.replay(NOON)
        drain(after=NOON - datetime.now(UTC))
        assert status_of(lost) == "succeeded"
        assert not Delivery.objects.dead().exists()

    def test_an_unreachable_gateway_uses_up_no_attempts(self, ledger, drain):
        asked = payment_requested()
        ledger.script.extend([Unreachable()] * 3)
        with transaction.atomic():
            publish(asked)

        outcomes = [drain(after=SOON * step) for step in range(4)]

        delivery = Delivery.objects.get(subscriber="payments.take_payment")
        assert [dict(outcome) for outcome in outcomes[:3]] == [{("payments.take_payment", "deferred"): 1}] * 3
        assert (delivery.status, delivery.deferrals, delivery.attempts) == ("delivered", 3, 1)
        assert status_of(asked) == "succeeded"

    def test_the_latest_of_two_asks_that_are_due_together_is_heard(self, ledger, drain):
        asked = payment_requested(payment_method="tok_timeout")
        services.collect([asked], now=NOON)
        services.stop(dues_of(asked), now=NOON)
        Delivery.objects.filter(delayed=True).update(due_at=NOON + timedelta(seconds=5))

        drain(after=NOON + SOON - datetime.now(UTC))

        assert status_of(asked) == "succeeded"
        assert len(published(contracts.PaymentRefunded)) == 1
