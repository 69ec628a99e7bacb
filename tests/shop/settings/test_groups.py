from dataclasses import FrozenInstanceError

import pytest
from django.core.exceptions import ImproperlyConfigured

from shop.settings.groups import MessagingSettings, OrderSettings, PaymentSettings


class TestFromEnvironment:
    def test_reads_each_field_as_its_type(self, env):
        env.ENVIRON |= {
            "PAYMENT_GATEWAY": "gateways.Instant",
            "PAYMENT_TIMEOUT_SECONDS": "7",
            "PAYMENT_WEBHOOK_SECRETS": "whsec_a,whsec_b",
            "PAYMENT_SIMULATOR_IN_WEB": "on",
        }

        assert PaymentSettings.from_environment(env) == PaymentSettings(
            gateway="gateways.Instant",
            timeout_seconds=7,
            webhook_secrets=("whsec_a", "whsec_b"),
            simulator_in_web=True,
        )

    def test_uses_given_defaults_before_those_of_the_fields(self, env):
        assert MessagingSettings.from_environment(env, relay_in_web=True) == MessagingSettings(relay_in_web=True)

    def test_rejects_an_invalid_value_by_the_name_of_its_variable(self, env):
        env.ENVIRON["ORDER_MAX_LINES"] = "many"

        with pytest.raises(ImproperlyConfigured, match="ORDER_MAX_LINES cannot be read"):
            OrderSettings.from_environment(env)


class TestGroup:
    def test_is_immutable(self):
        with pytest.raises(FrozenInstanceError):
            OrderSettings().max_lines = 3


class TestPaymentSettings:
    @pytest.mark.parametrize("package", ["payments.gateway.adapters", "payments.adapters"])
    def test_name_the_simulator_by_its_path_now_and_in_earlier_releases(self, env, package):
        env.ENVIRON["PAYMENT_GATEWAY"] = f"{package}.simulated.SimulatedGateway"

        settings = PaymentSettings.from_environment(env, webhook_secrets=("whsec_" + 40 * "A",))

        assert settings.uses_simulator
        assert list(settings.errors()) == []
        assert [warning.id for warning in settings.deployment_warnings()] == ["shop.W003"]
