from dataclasses import replace
from datetime import timedelta

import pytest

from messaging.models import Delivery
from payments.gateway.protocol import TimedOut, Unreachable
from tests.factories import make_stock
from tests.journeys.orders import CONFIRMED, Stock, history_of, mail_subjects, place, stock

REMINDER, DUE = timedelta(minutes=15), timedelta(minutes=30)
SECOND = timedelta(seconds=1)


@pytest.fixture(autouse=True)
def _due(settings):
    settings.ORDERS = replace(
        settings.ORDERS, reminder_seconds=REMINDER.total_seconds(), payment_due_seconds=DUE.total_seconds()
    )


@pytest.mark.django_db
class TestExpiredOrder:
    def test_is_reminded_of_and_cancelled_when_the_deadline_passes(self, api, drain, ledger):
        make_stock(1)
        order = place(api, payment_method="tok_pending")

        drain(after=REMINDER - SECOND)
        assert history_of(api, order) == ["placed", "awaiting_payment"]
        assert stock() == Stock(on_hand=1, reserved=1)
        assert mail_subjects() == []

        drain(after=REMINDER + SECOND)
        assert mail_subjects() == ["Your order is awaiting payment"]

        drain(after=DUE + SECOND)
        assert history_of(api, order) == ["placed", "awaiting_payment", "cancelled", "expired"]
        assert stock() == Stock(on_hand=1)
        assert len(ledger.cancelled) == 1
        assert ledger.captured == {}
        assert mail_subjects() == ["Your order is awaiting payment", "Your order is cancelled"]

    @pytest.mark.parametrize("failure", [Unreachable(), TimedOut()], ids=["unreachable", "timed out"])
    def test_is_kept_while_the_gateway_does_not_answer(self, api, drain, ledger, failure):
        make_stock(1)
        order = place(api, payment_method="tok_pending")
        drain()
        ledger.script.append(failure)

        drain(after=DUE + SECOND)
        assert history_of(api, order) == ["placed", "awaiting_payment"]
        assert stock() == Stock(on_hand=1, reserved=1)

        drain(after=DUE + timedelta(minutes=5))
        assert history_of(api, order) == ["placed", "awaiting_payment", "cancelled", "expired"]
        assert stock() == Stock(on_hand=1)

    def test_is_confirmed_if_the_gateway_reports_a_capture(self, api, drain, ledger):
        make_stock(1)
        order = place(api, payment_method="tok_timeout")
        drain()
        Delivery.objects.filter(subscriber="payments.ask_again").delete()

        drain(after=DUE + SECOND)

        assert history_of(api, order) == CONFIRMED
        assert stock() == Stock(on_hand=0)
        assert ledger.cancelled == set()
        assert ledger.refunded == {}
