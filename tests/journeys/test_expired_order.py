from dataclasses import replace
from datetime import timedelta

import pytest

from messaging.models import Delivery
from payments.gateway.protocol import TimedOut, Unreachable
from tests.factories import make_stock
from tests.journeys.story import letters, place, shelf, story

REMINDER, DUE = timedelta(seconds=900), timedelta(seconds=1800)
MARGIN = timedelta(seconds=1)


@pytest.fixture(autouse=True)
def _due(settings):
    settings.ORDERS = replace(
        settings.ORDERS, reminder_seconds=REMINDER.total_seconds(), payment_due_seconds=DUE.total_seconds()
    )


@pytest.mark.django_db
class TestExpiredOrder:
    def test_an_unpaid_order_is_reminded_of_and_then_given_up(self, api, drain, ledger):
        make_stock(1)
        order = place(api, payment_method="tok_pending")

        drain(after=REMINDER - MARGIN)
        assert (story(api, order), shelf(), letters()) == (["placed", "awaiting_payment"], (1, 1), [])

        drain(after=REMINDER + MARGIN)
        assert letters() == ["Your order is awaiting payment"]

        drain(after=DUE + MARGIN)
        assert story(api, order) == ["placed", "awaiting_payment", "cancelled", "expired"]
        assert shelf() == (1, 0)
        assert (len(ledger.cancelled), ledger.captured) == (1, {})
        assert letters() == ["Your order is awaiting payment", "Your order is cancelled"]

    @pytest.mark.parametrize("silence", [Unreachable(), TimedOut()], ids=["unreachable", "timed out"])
    def test_it_is_not_given_up_while_the_gateway_cannot_say(self, api, drain, ledger, silence):
        make_stock(1)
        order = place(api, payment_method="tok_pending")
        drain()
        ledger.script.append(silence)

        drain(after=DUE + MARGIN)
        assert story(api, order) == ["placed", "awaiting_payment"]
        assert shelf() == (1, 1)

        drain(after=DUE + timedelta(minutes=5))
        assert story(api, order) == ["placed", "awaiting_payment", "cancelled", "expired"]
        assert shelf() == (1, 0)

    def test_it_is_confirmed_if_the_gateway_turns_out_to_have_the_money(self, api, drain, ledger):
        make_stock(1)
        order = place(api, payment_method="tok_timeout")
        drain()
        Delivery.objects.filter(subscriber="payments.ask_again").delete()

        drain(after=DUE + MARGIN)

        assert story(api, order) == ["placed", "awaiting_payment", "confirmed"]
        assert shelf() == (0, 0)
        assert (ledger.cancelled, ledger.refunded) == (set(), {})
