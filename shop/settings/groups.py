"""
The shop's own settings, one frozen dataclass per group: variables, defaults and checks of one group stand together.

Code reads them through `django.conf.settings`, for example `settings.ORDERS.max_lines`. Checks that compare groups, or
concern Django's own settings, are in `shop.checks`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self

from django.core.checks import CheckMessage
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from messaging.kernel.money import MINOR_UNIT_DIGITS
from payments.gateway.paths import present_path
from shop.settings.environment import Environment
from shop.settings.variables import SettingsGroup, error, variable, warning

SIMULATED_GATEWAY = "payments.gateway.adapters.simulated.SimulatedGateway"
INSTANT_GATEWAY = "payments.gateway.adapters.instant.InstantGateway"

INSECURE_WEBHOOK_SECRET = "whsec_b25seS1mb3ItdHJ5aW5nLXRoZS1zaG9wLW9uLXlvdXItb3duLW1hY2hpbmU="
WEBHOOK_SECRET = re.compile(r"whsec_[A-Za-z0-9+/]{32,}={0,2}", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class ShopSettings(SettingsGroup):
    """
    The shop's name, and the address for alerts about late, duplicate and wrong payments and refused refunds.
    """

    name: str = variable("SHOP_NAME", "The Shop")
    operator_email: str = variable("OPERATOR_EMAIL", "")

    def deployment_warnings(self) -> Iterator[CheckMessage]:
        if not self.operator_email:
            yield warning("W002", "Alerts about payments are sent to no one.", "Set OPERATOR_EMAIL.")


@dataclass(frozen=True, kw_only=True)
class OrderSettings(SettingsGroup):
    """
    Currency, deadlines and limits of orders, and limits of long polling.
    """

    currency: str = variable("SHOP_CURRENCY", "GBP")
    payment_due_seconds: int = variable("ORDER_PAYMENT_DUE_SECONDS", 900)
    reminder_seconds: int = variable("ORDER_REMINDER_SECONDS", 600)
    max_lines: int = variable("ORDER_MAX_LINES", 100)
    max_quantity: int = variable("ORDER_MAX_QUANTITY", 1000)
    max_open_orders: int = variable("ORDER_MAX_OPEN_ORDERS", 1000)
    follow_seconds: int = variable("ORDER_FOLLOW_SECONDS", 20)
    followers: int = variable("ORDER_FOLLOWERS", 4)

    def errors(self) -> Iterator[CheckMessage]:
        yield from super().errors()
        reminder, due = self.reminder_seconds, self.payment_due_seconds
        if reminder >= due:
            problem = f"Customers would be reminded after {reminder} s, but payments are due after {due} s."
            yield error("E003", problem, "Set ORDER_REMINDER_SECONDS below ORDER_PAYMENT_DUE_SECONDS.")
        if self.currency not in MINOR_UNIT_DIGITS:
            hint = "Set SHOP_CURRENCY to an ISO 4217 code, such as GBP."
            yield error("E004", f"{self.currency!r} is not a currency.", hint)


@dataclass(frozen=True, kw_only=True)
class AccountSettings(SettingsGroup):
    """
    Limits of API tokens and signing keys. A rotated key still signs during the grace time.
    """

    tokens_per_user: int = variable("TOKENS_PER_USER", 100, minimum=1)
    signing_keys_per_user: int = variable("SIGNING_KEYS_PER_USER", 10, minimum=1)
    signing_key_grace_hours: int = variable("SIGNING_KEY_GRACE_HOURS", 24, minimum=1)


@dataclass(frozen=True, kw_only=True)
class ThrottlingSettings(SettingsGroup):
    """
    Rate limits, where 0 is no limit, and the number of proxies whose X-Forwarded-For is trusted.
    """

    account_per_minute: int = variable("THROTTLE_ACCOUNT_PER_MINUTE", 1200, minimum=0)
    address_per_minute: int = variable("THROTTLE_ADDRESS_PER_MINUTE", 600, minimum=0)
    failures_per_minute: int = variable("THROTTLE_FAILURES_PER_MINUTE", 30, minimum=0)
    failed_logins_per_quarter_hour: int = variable("THROTTLE_FAILED_LOGINS_PER_QUARTER_HOUR", 10, minimum=0)
    trusted_proxies: int = variable("TRUSTED_PROXIES", 0, minimum=0)


@dataclass(frozen=True, kw_only=True)
class MessagingSettings(SettingsGroup):
    """
    The relay: how deliveries are claimed, retried and pruned, and which processes run it.
    """

    lease_seconds: int = variable("MESSAGING_LEASE_SECONDS", 30, minimum=1)
    handler_limit_seconds: int = variable("MESSAGING_HANDLER_LIMIT_SECONDS", 20, minimum=1)
    batch_size: int = variable("MESSAGING_BATCH_SIZE", 200, minimum=1)
    max_attempts: int = variable("MESSAGING_MAX_ATTEMPTS", 12, minimum=1)
    retention_days: int = variable("MESSAGING_RETENTION_DAYS", 30, minimum=1)
    outside_calls_at_once: int = variable("MESSAGING_OUTSIDE_CALLS_AT_ONCE", 64, minimum=1)
    relay_workers: int = variable("RELAY_WORKERS", 2, minimum=1)
    relay_in_web: bool = variable("RELAY_IN_WEB", default=False)


@dataclass(frozen=True, kw_only=True)
class PaymentSettings(SettingsGroup):
    """
    The payment gateway in use. Every webhook secret verifies; the simulator signs with the first.
    """

    gateway: str = variable("PAYMENT_GATEWAY", SIMULATED_GATEWAY)
    timeout_seconds: int = variable("PAYMENT_TIMEOUT_SECONDS", 5)
    webhook_secrets: tuple[str, ...] = variable("PAYMENT_WEBHOOK_SECRETS", ())
    webhook_parking_seconds: int = variable("PAYMENT_WEBHOOK_PARKING_SECONDS", 3600, minimum=1)
    simulator_url: str = variable("PAYMENT_SIMULATOR_URL", "http://127.0.0.1:8010")
    simulator_callback_url: str = variable(
        "PAYMENT_SIMULATOR_CALLBACK_URL", "http://127.0.0.1:8000/api/v1/webhooks/payments/"
    )
    simulator_ledger: str = variable("PAYMENT_SIMULATOR_LEDGER", "payment_simulator.sqlite3")
    simulator_in_web: bool = variable("PAYMENT_SIMULATOR_IN_WEB", default=False)
    stripe_api_key: str = variable("STRIPE_API_KEY", "")
    stripe_api_base: str = variable("STRIPE_API_BASE", "")

    @classmethod
    def from_environment(cls, env: Environment, **defaults: object) -> Self:
        """
        Return the group as the environment sets it. The gateway may be named by its former path.
        """
        group = super().from_environment(env, **defaults)
        return replace(group, gateway=present_path(group.gateway))

    @property
    def uses_simulator(self) -> bool:
        """
        Return whether the gateway is the payment simulator.
        """
        return self.gateway == SIMULATED_GATEWAY

    def require_secret_webhook_secrets(self) -> None:
        """
        Reject the published default secret.

        :raises ImproperlyConfigured: if it is among the webhook secrets.
        """
        if INSECURE_WEBHOOK_SECRET in self.webhook_secrets:
            raise ImproperlyConfigured(
                "DEBUG is off, and PAYMENT_WEBHOOK_SECRETS contains the default that is published in the source code: "
                "anyone could sign webhooks. Set it to the secrets that the payment gateway issued."
            )

    def errors(self) -> Iterator[CheckMessage]:
        yield from super().errors()
        if problem := import_problem(self.gateway):
            yield error("E001", problem, "Set PAYMENT_GATEWAY to the dotted path of a class.")
        if not self._verifies_webhooks():
            problem = "A webhook secret is missing, too short, or malformed."
            hint = "Set PAYMENT_WEBHOOK_SECRETS to what the gateway issued: whsec_ and at least 24 bytes in base64."
            yield error("E010", problem, hint)

    def deployment_warnings(self) -> Iterator[CheckMessage]:
        if self.gateway in {INSTANT_GATEWAY, SIMULATED_GATEWAY}:
            problem = "Payments are simulated: no money moves."
            yield warning("W003", problem, "Set PAYMENT_GATEWAY to the adapter of a real gateway.")

    def _verifies_webhooks(self) -> bool:
        needs_secret = self.gateway != INSTANT_GATEWAY
        well_formed = all(WEBHOOK_SECRET.fullmatch(secret) for secret in self.webhook_secrets)
        return well_formed and bool(self.webhook_secrets or not needs_secret)


def import_problem(path: str) -> str:
    """
    Return why a class cannot be imported by its dotted path; an empty text if it can.
    """
    try:
        import_string(path)
    except ImportError as reason:
        return f"{path!r} cannot be imported: {reason}."
    return ""
