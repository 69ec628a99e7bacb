from dataclasses import replace

import pytest

from payments import reconciliation
from payments.charges import services
from payments.gateway import protocol
from payments.gateway.adapters.instant import InstantGateway
from payments.gateway.adapters.simulated import SimulatedGateway
from payments.models import PaymentIntent
from tests.payments.scenes import NOON, payment_requested, status_of

EARLIER_INSTANT = "payments.adapters.instant.InstantGateway"
EARLIER_SIMULATED = "payments.adapters.simulated.SimulatedGateway"
SIMULATED = "payments.gateway.adapters.simulated.SimulatedGateway"


class TestAt:
    @pytest.mark.parametrize("path", [SIMULATED, EARLIER_SIMULATED])
    def test_returns_the_gateway_at_which_a_payment_was_opened(self, path):
        assert type(protocol.at(path)) is SimulatedGateway
        assert protocol.at(path) is protocol.at(SIMULATED)

    @pytest.mark.parametrize("path", ["", EARLIER_INSTANT])
    def test_returns_the_gateway_in_use_for_its_earlier_path_and_for_none(self, path, ledger):
        assert protocol.at(path) is ledger

    def test_returns_another_gateway_after_the_setting_changed(self, settings):
        settings.PAYMENTS = replace(settings.PAYMENTS, gateway=SIMULATED)

        assert type(protocol.at(EARLIER_INSTANT)) is InstantGateway
        assert protocol.at(EARLIER_SIMULATED) is protocol.current()


@pytest.mark.django_db
class TestPaymentStoredWithTheEarlierPath:
    def test_is_queried_and_reconciled_at_the_gateway_in_use(self, ledger):
        request = payment_requested(payment_method="tok_timeout")
        services.collect([request], now=NOON)
        PaymentIntent.objects.update(gateway=EARLIER_INSTANT)

        services.ask_again({request.order_id: 1}, now=NOON)
        assert status_of(request) == "succeeded"

        ledger.edit_statement = lambda _: None
        report = reconciliation.reconcile(since=None, now=NOON.replace(hour=13))
        assert [difference.kind for difference in report.left] == ["missing"]
