"""
The shop's own settings, one frozen dataclass per group: variables, defaults and checks of one group stand together.

Code reads them through `django.conf.settings`, for example `settings.ORDERS.max_lines`. Checks that compare groups, or
concern Django's own settings, are in `shop.checks`.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any, Self
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from django.core.checks import CheckMessage
from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS
from django.utils.module_loading import import_string

from messaging.kernel.money import MINOR_UNIT_DIGITS
from messaging.transports.protocol import ADAPTERS, Broker, missing_client
from payments.gateway.paths import present_path
from shop.settings import storage
from shop.settings.environment import Environment
from shop.settings.variables import SettingsGroup, error, variable, warning

SIMULATED_GATEWAY = "payments.gateway.adapters.simulated.SimulatedGateway"
INSTANT_GATEWAY = "payments.gateway.adapters.instant.InstantGateway"

CONSOLE_EMAIL = "anymail.backends.console.EmailBackend"
DUMMY_EMAIL = "django.core.mail.backends.dummy.EmailBackend"

CONSOLE_SMS = "notifications.sms.backends.console.SmsBackend"
DUMMY_SMS = "notifications.sms.backends.dummy.SmsBackend"
TWILIO_SMS = "notifications.sms.backends.twilio.SmsBackend"

INSECURE_WEBHOOK_SECRET = "whsec_b25seS1mb3ItdHJ5aW5nLXRoZS1zaG9wLW9uLXlvdXItb3duLW1hY2hpbmU="
ORIGIN = re.compile(r"https?://[^/?#\s]+")
PUBLIC_HOST = re.compile(r"(?!.*\.(local|localhost|test)$)([^.]+\.)+[^.0-9][^.]*")
"""A domain name; not an address, whose last part is a number."""
WEBHOOK_SECRET = re.compile(r"whsec_[A-Za-z0-9+/]{32,}={0,2}", re.ASCII)
SMS_SENDER = re.compile(r"\+[1-9][0-9]{6,14}|MG[0-9a-f]{32}|(?=.*[A-Za-z])[A-Za-z0-9 ]{1,11}", re.ASCII)
"""A number in E.164 format, a messaging service of Twilio's, or a name of at most 11 characters."""
NAME_AT_BROKER = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,38}[a-z0-9])?", re.ASCII)
TWILIO_ACCOUNT = re.compile(r"AC[0-9a-f]{32}", re.ASCII)

INTROSPECTION_PATH = "/api/v1/introspect/"
SERVICE_SECRET = re.compile(r"[!-~]{32,}", re.ASCII)

LAST_HOUR = 23
MOST_AUDIT_SECONDS = 240
"""Less than the time limit of tasks in the cluster, `Q_CLUSTER`."""

CONTEXTS = ("orders", "inventory", "payments", "notifications")

LANGUAGES = (("en", "English"), ("de", "Deutsch"))
"""The languages of pages and messages to customers, each by its own name."""


@dataclass(frozen=True, kw_only=True)
class ShopSettings(SettingsGroup):
    """
    The shop's name, its URL in links of messages, the language of customers who ask for none of `LANGUAGES`, the time
    zone of its pages and messages, the address for alerts about payments and dead letters, whether it is the demo: its
    start page shows the logins, it sends no mails and SMS unless a backend is set, and with `faults` some of its
    handlers fail on purpose; and the origin of the pictures of products, if not its own.
    """

    name: str = variable("SHOP_NAME", "The Shop")
    url: str = variable("SHOP_URL", "http://127.0.0.1:8000")
    language: str = variable("SHOP_LANGUAGE", "en")
    time_zone: str = variable("SHOP_TIME_ZONE", "UTC")
    operator_email: str = variable("OPERATOR_EMAIL", "")
    demo: bool = variable("SHOP_DEMO", default=False)
    faults: bool = variable("SHOP_FAULTS", default=False)
    picture_origin: str = variable("PICTURE_ORIGIN", "")

    @property
    def is_public(self) -> bool:
        """
        Return whether others can call the shop at its URL: by https, and not at an address or a name of this machine.
        """
        scheme, host = urlsplit(self.url).scheme, urlsplit(self.url).hostname or ""
        return scheme == "https" and bool(PUBLIC_HOST.fullmatch(host))

    def errors(self) -> Iterator[CheckMessage]:
        yield from super().errors()
        if not ORIGIN.fullmatch(self.url):
            problem = f"{self.url!r} is not the URL of a shop."
            yield error("E014", problem, "Set SHOP_URL to scheme and host, such as https://shop.example.")
        if self.picture_origin and not ORIGIN.fullmatch(self.picture_origin):
            problem = f"{self.picture_origin!r} is not the origin of pictures."
            yield error("E035", problem, "Set PICTURE_ORIGIN to scheme and host, such as https://pictures.example.")
        if self.time_zone not in available_timezones():
            hint = "Set SHOP_TIME_ZONE to a name of the IANA database, such as Europe/London."
            yield error("E020", f"{self.time_zone!r} is not a time zone.", hint)
        if self.language not in dict(LANGUAGES):
            problem = f"{self.language!r} is not a language of the shop."
            yield error("E021", problem, f"Set SHOP_LANGUAGE to {' or '.join(dict(LANGUAGES))}.")

    def deployment_warnings(self) -> Iterator[CheckMessage]:
        if not self.operator_email:
            yield warning("W002", "Alerts about payments and dead letters are sent to no one.", "Set OPERATOR_EMAIL.")
        if not self.url.startswith("https://"):
            yield warning("W004", f"Messages link to {self.url}.", "Set SHOP_URL to the https URL of the shop.")


@dataclass(frozen=True, kw_only=True)
class ServiceSettings(SettingsGroup):
    """
    The contexts that this service runs: all of `CONTEXTS`, unless others run in services of their own. Services without
    accounts ask the one with them whose credentials are valid: its URL, the secret that all of them share, and how long
    an answer counts.
    """

    contexts: tuple[str, ...] = variable("CONTEXTS", CONTEXTS)
    accounts_url: str = variable("ACCOUNTS_URL", "")
    introspection_secret: str = variable("INTROSPECTION_SECRET", "")
    introspection_cache_seconds: int = variable("INTROSPECTION_CACHE_SECONDS", 5, minimum=0)

    @property
    def is_whole_shop(self) -> bool:
        return set(self.contexts) >= set(CONTEXTS)

    @property
    def has_accounts(self) -> bool:
        """
        Return whether customers' accounts are here: with the orders.
        """
        return "orders" in self.contexts

    @property
    def introspection_url(self) -> str:
        """
        Return where the service with the accounts is asked whose credentials are valid.
        """
        return f"{self.accounts_url}{INTROSPECTION_PATH}"

    @property
    def name(self) -> str:
        """
        Return the names of the contexts; "shop" for all of them.
        """
        here = (context for context in CONTEXTS if context in self.contexts)
        return "shop" if self.is_whole_shop else "-".join(here)

    def errors(self) -> Iterator[CheckMessage]:
        yield from super().errors()
        if not self.contexts or set(self.contexts) - set(CONTEXTS):
            hint = f"Set CONTEXTS to some of {','.join(CONTEXTS)}, or remove it for all of them."
            yield error("E027", f"CONTEXTS is {','.join(self.contexts)!r}.", hint)
        if not self.has_accounts and not ORIGIN.fullmatch(self.accounts_url):
            problem = f"The accounts are in another service, but ACCOUNTS_URL is {self.accounts_url!r}."
            hint = (
                "Set ACCOUNTS_URL to scheme and host of the service with the orders, such as https://orders.internal."
            )
            yield error("E029", problem, hint)
        if not SERVICE_SECRET.fullmatch(self.introspection_secret) and (
            self.introspection_secret or not self.has_accounts
        ):
            problem = "INTROSPECTION_SECRET is missing, too short, or has other characters than visible ASCII."
            hint = "Set INTROSPECTION_SECRET in all services to the same 32 characters or more."
            yield error("E030", problem, hint)


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
    Limits of API tokens and signing keys. A rotated key still signs during the grace time. How long the link in a mail
    is valid by which a customer sets a new password. Whether customers may sign up, and how long they can confirm it.
    Whether the admin requires a second factor.
    """

    tokens_per_user: int = variable("TOKENS_PER_USER", 100, minimum=1)
    signing_keys_per_user: int = variable("SIGNING_KEYS_PER_USER", 10, minimum=1)
    signing_key_grace_hours: int = variable("SIGNING_KEY_GRACE_HOURS", 24, minimum=1)
    password_reset_minutes: int = variable("PASSWORD_RESET_MINUTES", 60, minimum=5)
    sign_up: bool = variable("SIGN_UP", default=False)
    sign_up_hours: int = variable("SIGN_UP_HOURS", 24, minimum=1)
    second_factor_required: bool = variable("SECOND_FACTOR_REQUIRED", default=False)


@dataclass(frozen=True, kw_only=True)
class ThrottlingSettings(SettingsGroup):
    """
    Rate limits, where 0 is no limit, and the number of proxies whose X-Forwarded-For is trusted.
    """

    account_per_minute: int = variable("THROTTLE_ACCOUNT_PER_MINUTE", 1200, minimum=0)
    address_per_minute: int = variable("THROTTLE_ADDRESS_PER_MINUTE", 600, minimum=0)
    failures_per_minute: int = variable("THROTTLE_FAILURES_PER_MINUTE", 30, minimum=0)
    failed_logins_per_quarter_hour: int = variable("THROTTLE_FAILED_LOGINS_PER_QUARTER_HOUR", 10, minimum=0)
    account_mails_per_address_per_hour: int = variable("THROTTLE_ACCOUNT_MAILS_PER_ADDRESS_PER_HOUR", 30, minimum=0)
    account_mails_per_recipient_per_hour: int = variable("THROTTLE_ACCOUNT_MAILS_PER_RECIPIENT_PER_HOUR", 5, minimum=0)
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
class TransportSettings(SettingsGroup):
    """
    The message broker by which other services hear events of this one, and the names there. An empty URL: no broker.
    """

    url: str = variable("TRANSPORT_URL", "")
    prefix: str = variable("TRANSPORT_PREFIX", "shop")
    service: str = variable("SERVICE_NAME", "shop")

    @property
    def broker(self) -> Broker:
        """
        Return what a transport needs to connect.
        """
        return Broker(url=self.url, service=self.service, prefix=self.prefix)

    def errors(self) -> Iterator[CheckMessage]:
        yield from super().errors()
        for name, value in (("TRANSPORT_PREFIX", self.prefix), ("SERVICE_NAME", self.service)):
            if not NAME_AT_BROKER.fullmatch(value):
                hint = f"Set {name} to at most 40 small letters, digits, hyphens and underscores."
                yield error("E022", f"{value!r} is not a name at the broker.", hint)
        if self.url and urlsplit(self.url).scheme not in ADAPTERS:
            hint = f"Begin TRANSPORT_URL with {', '.join(f'{scheme}://' for scheme in ADAPTERS)}, or remove it."
            yield error("E023", "TRANSPORT_URL is not the address of a known broker.", hint)
        elif self.url and (extra := missing_client(self.url)):
            hint = f"Install requirements-{extra}.lock."
            yield error("E024", "The client library of the broker in TRANSPORT_URL is not installed.", hint)


@dataclass(frozen=True, kw_only=True)
class MonitoringSettings(SettingsGroup):
    """
    The limits within which `/readyz` says that this service is ready, where 0 is no limit; who may read `/metrics`: who
    knows the token, or connects from one of the addresses or networks; where Sentry and a
    collector of traces are; and the hour of the daily audit, in UTC, with the time that it may take.
    """

    ready_workers: int = variable("READY_WORKERS", 1, minimum=0)
    ready_oldest_due_seconds: int = variable("READY_OLDEST_DUE_SECONDS", 300, minimum=0)
    ready_broker_lag: int = variable("READY_BROKER_LAG", 10_000, minimum=0)
    metrics_token: str = variable("METRICS_TOKEN", "")
    metrics_addresses: tuple[str, ...] = variable("METRICS_ADDRESSES", ("127.0.0.1", "::1"))
    sentry_dsn: str = variable("SENTRY_DSN", "")
    otlp_endpoint: str = variable("OTEL_EXPORTER_OTLP_ENDPOINT", "")
    audit_hour: int = variable("AUDIT_HOUR", 3, minimum=0)
    audit_limit_seconds: int = variable("AUDIT_LIMIT_SECONDS", 120, minimum=1)

    @property
    def metrics_networks(self) -> Sequence[IPv4Network | IPv6Network]:
        """
        Return the networks that the addresses are.

        :raises ValueError: if one of them is none.
        """
        return [ip_network(address) for address in self.metrics_addresses]

    def errors(self) -> Iterator[CheckMessage]:
        yield from super().errors()
        if self.metrics_token and not SERVICE_SECRET.fullmatch(self.metrics_token):
            hint = "Set METRICS_TOKEN to 32 characters or more, or remove it."
            yield error("E031", "METRICS_TOKEN is too short, or has other characters than visible ASCII.", hint)
        try:
            _ = self.metrics_networks
        except ValueError as problem:
            hint = "Set METRICS_ADDRESSES to addresses or networks such as 10.0.0.0/8, separated by commas."
            yield error("E032", f"METRICS_ADDRESSES cannot be read: {problem}.", hint)
        if self.audit_hour > LAST_HOUR:
            hint = f"Set AUDIT_HOUR to an hour of the day in UTC, from 0 to {LAST_HOUR}."
            yield error("E033", f"AUDIT_HOUR is {self.audit_hour}.", hint)
        if self.audit_limit_seconds > MOST_AUDIT_SECONDS:
            hint = f"Set it to {MOST_AUDIT_SECONDS} or less. `manage.py audit --record`, by cron, has no limit."
            limit = f"AUDIT_LIMIT_SECONDS is {self.audit_limit_seconds}: the cluster ends tasks earlier."
            yield error("E034", limit, hint)


@dataclass(frozen=True, kw_only=True)
class OperatorSettings(SettingsGroup):
    """
    The databases of all services, for commands of an operator that read them. Such a process runs no service itself.
    """

    orders: str = variable("ORDERS_DATABASE_URL", "")
    inventory: str = variable("INVENTORY_DATABASE_URL", "")
    payments: str = variable("PAYMENTS_DATABASE_URL", "")
    notifications: str = variable("NOTIFICATIONS_DATABASE_URL", "")

    @classmethod
    def from_environment(cls, env: Environment, **defaults: object) -> Self:
        """
        Return the group as the environment sets it.

        :raises ImproperlyConfigured: if only some of its variables are set.
        """
        group = super().from_environment(env, **defaults)
        missing = [setting.metadata["variable"] for setting in fields(cls) if not vars(group)[setting.name]]
        if group.is_set and missing:
            raise ImproperlyConfigured(
                f"{', '.join(missing)} is missing. Set the database URLs of all contexts, to the same URL for contexts "
                "in one database; or of none, in a process that runs a service."
            )
        return group

    @property
    def is_set(self) -> bool:
        """
        Return whether this process is an operator's.
        """
        return any(vars(self).values())

    @property
    def aliases(self) -> Mapping[str, str]:
        """
        Return the alias in DATABASES by context. Contexts with the same URL share a database.
        """
        aliases: dict[str, str] = {}
        return {
            context: aliases.setdefault(url, context if aliases else DEFAULT_DB_ALIAS)
            for context, url in vars(self).items()
        }

    def databases(self, env: Environment) -> dict[str, dict[str, Any]]:
        """
        Return the value of DATABASES: the databases of all services, read-only, and the temporary one of the audit.

        :raises ImproperlyConfigured: if one of the variables is not the URL of a database.
        """
        variables = {setting.name: setting.metadata["variable"] for setting in fields(self)}
        databases = {
            alias: storage.read_only(env.database(variables[context], default=""))
            for context, alias in self.aliases.items()
        }
        return databases | {storage.TEMPORARY_ALIAS: storage.TEMPORARY}

    def refuse(self, what: str) -> None:
        """
        Refuse to do what only a service does.

        :raises ImproperlyConfigured: if this process is an operator's.
        """
        if self.is_set:
            raise ImproperlyConfigured(
                f"This process has the databases of all services, which it only reads: it cannot {what}. Remove "
                "ORDERS_DATABASE_URL and the other three from its environment and from .env."
            )


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
        if reason := import_problem(self.gateway):
            problem = f"{self.gateway!r} cannot be imported: {reason}."
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


@dataclass(frozen=True, kw_only=True)
class NotificationSettings(SettingsGroup):
    """
    Connections of a worker to the mail server, and the time that one mail may take; the provider that reports what
    became of mails. The backend of SMS, its provider, a worker's connections to it, and the time of one call; an empty
    backend sends no SMS. The notifications within an hour to one recipient and to all, where 0 is no limit.
    """

    reply_to: str = variable("REPLY_TO_EMAIL", "")
    email_connections: int = variable("EMAIL_CONNECTIONS", 8, minimum=1)
    email_deadline_seconds: int = variable("EMAIL_DEADLINE", 8, minimum=1)
    email_tracking: str = variable("EMAIL_TRACKING", "")
    per_recipient_per_hour: int = variable("NOTIFICATIONS_PER_RECIPIENT_PER_HOUR", 100, minimum=0)
    per_hour: int = variable("NOTIFICATIONS_PER_HOUR", 10_000, minimum=0)
    sms_backend: str = variable("SMS_BACKEND", "")
    sms_from: str = variable("SMS_FROM", "")
    sms_connections: int = variable("SMS_CONNECTIONS", 4, minimum=1)
    sms_timeout_seconds: int = variable("SMS_TIMEOUT", 5, minimum=1)
    sms_file: str = variable("SMS_FILE", "sms.jsonl")
    twilio_account_sid: str = variable("TWILIO_ACCOUNT_SID", "")
    twilio_auth_token: str = variable("TWILIO_AUTH_TOKEN", "")
    twilio_api_base: str = variable("TWILIO_API_BASE", "https://api.twilio.com")

    def errors(self) -> Iterator[CheckMessage]:
        yield from super().errors()
        if self.sms_backend and (reason := import_problem(self.sms_backend)):
            problem = f"{self.sms_backend!r} cannot be imported: {reason}."
            yield error("E001", problem, "Set SMS_BACKEND to the dotted path of a class, or leave it empty.")
        if self.sms_from and not SMS_SENDER.fullmatch(self.sms_from):
            hint = "Set it to a number such as +441134960000, a name of up to 11 letters, or a messaging service (MG…)."
            yield error("E011", "SMS_FROM is not a sender of SMS.", hint)
        if self.sms_backend == TWILIO_SMS and not self._has_twilio_account():
            problem = "SMS are sent by Twilio, but its account, its token or the sender is missing or malformed."
            yield error("E012", problem, "Set TWILIO_ACCOUNT_SID (AC…), TWILIO_AUTH_TOKEN and SMS_FROM.")

    @property
    def sms_deadline_seconds(self) -> int:
        """
        Return the time that one SMS may take: two calls, as an unknown one is looked up before it is sent again.
        """
        return 2 * self.sms_timeout_seconds

    def _has_twilio_account(self) -> bool:
        return bool(TWILIO_ACCOUNT.fullmatch(self.twilio_account_sid) and self.twilio_auth_token and self.sms_from)


def import_problem(path: str) -> str:
    """
    Return why a class cannot be imported by its dotted path; an empty text if it can.
    """
    try:
        import_string(path)
    except ImportError as reason:
        return str(reason)
    return ""
