from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from django.core.checks import run_checks

from shop.settings.groups import INSTANT_GATEWAY, SIMULATED_GATEWAY, TWILIO_SMS
from shop.settings.variables import SettingsGroup

GOOD_SECRET = "whsec_" + 40 * "A"
STRIPE_GATEWAY = "payments.gateway.adapters.stripe.StripeGateway"

TWILIO = {
    "sms_backend": TWILIO_SMS,
    "sms_from": "+441134960000",
    "twilio_account_sid": "AC" + 32 * "0",
    "twilio_auth_token": "a token",
}

Findings = list[tuple[str, str, str]]


@pytest.fixture
def findings_with(settings) -> Callable[..., Findings]:
    """
    Return the id, text and hint of each finding of `manage.py check` with changed settings, sorted.
    A dict changes fields of a group.
    """

    def findings_with(**changes: Any) -> Findings:
        for name, value in changes.items():
            current = getattr(settings, name)
            setattr(settings, name, replace(current, **value) if isinstance(current, SettingsGroup) else value)
        findings = [(finding.id, finding.msg, finding.hint) for finding in run_checks()]
        return sorted(finding for finding in findings if finding[0].startswith("shop."))

    return findings_with


@pytest.fixture
def warnings_with(findings_with) -> Callable[..., list[str]]:
    """
    Return the ids of the warnings of `manage.py check --deploy` with changed settings.
    """

    def warnings_with(**changes: Any) -> list[str]:
        findings_with(**changes)
        findings = run_checks(include_deployment_checks=True)
        return [finding.id for finding in findings if finding.id.startswith("shop.W")]

    return warnings_with


REDIS = {"url": "redis://localhost"}
PAYMENTS_ONLY = {
    "contexts": ("payments",),
    "accounts_url": "https://orders.internal",
    "introspection_secret": 32 * "s",
}

ERRORS = [
    *(
        (
            {"TRANSPORT": {"service": name}},
            ("shop.E022", f"{name!r} is not a name at the broker."),
            "Set SERVICE_NAME to at most 40 small letters, digits, hyphens and underscores.",
        )
        for name in ("", "The Shop", "shop.", "-shop", 41 * "a")
    ),
    (
        {"TRANSPORT": {"url": "nats://localhost"}},
        ("shop.E023", "TRANSPORT_URL is not the address of a known broker."),
        "Begin TRANSPORT_URL with amqp://, amqps://, kafka://, redis://, rediss://, or remove it.",
    ),
    (
        {
            "TRANSPORT": REDIS,
            "MESSAGING": {"handler_limit_seconds": 15},
            "NOTIFICATIONS": {"email_deadline_seconds": 7},
            "EMAIL_TIMEOUT": 7,
        },
        ("shop.E025", "A set may take 15 s to send, but a worker is ended after 15 s."),
        "Set MESSAGING_HANDLER_LIMIT_SECONDS above 15.",
    ),
    (
        {"TRANSPORT": REDIS, "MESSAGING": {"retention_days": 7}},
        ("shop.E026", "The broker keeps events for 7 days, but their ids are pruned here after 7."),
        "Set MESSAGING_RETENTION_DAYS above 7.",
    ),
    (
        {"SERVICE": {"contexts": ("orders", "warehouse")}, "TRANSPORT": REDIS},
        ("shop.E027", "CONTEXTS is 'orders,warehouse'."),
        "Set CONTEXTS to some of orders,inventory,payments,notifications, or remove it for all of them.",
    ),
    (
        {"SERVICE": {"contexts": ("orders", "payments")}},
        ("shop.E028", "Only orders, payments runs here, and no broker connects it with the others."),
        "Set TRANSPORT_URL to the broker of all services, or remove CONTEXTS.",
    ),
    *(
        (
            {"SERVICE": PAYMENTS_ONLY | {"accounts_url": url}, "TRANSPORT": REDIS},
            ("shop.E029", f"The accounts are in another service, but ACCOUNTS_URL is {url!r}."),
            "Set ACCOUNTS_URL to scheme and host of the service with the orders, such as https://orders.internal.",
        )
        for url in ("", "orders.internal", "https://orders.internal/api/")
    ),
    *(
        (
            {"SERVICE": service | {"introspection_secret": secret}, "TRANSPORT": REDIS},
            ("shop.E030", "INTROSPECTION_SECRET is missing, too short, or has other characters than visible ASCII."),
            "Set INTROSPECTION_SECRET in all services to the same 32 characters or more.",
        )
        for service, secret in (
            (PAYMENTS_ONLY, ""),
            (PAYMENTS_ONLY, 31 * "s"),
            (PAYMENTS_ONLY, 32 * "ß"),
            ({}, 31 * "s"),
        )
    ),
    *(
        (
            {"MONITORING": {"metrics_token": token}},
            ("shop.E031", "METRICS_TOKEN is too short, or has other characters than visible ASCII."),
            "Set METRICS_TOKEN to 32 characters or more, or remove it.",
        )
        for token in (31 * "t", 32 * "ß", f"{32 * 't'} ")
    ),
    *(
        (
            {"MONITORING": {"metrics_addresses": ("127.0.0.1", address)}},
            ("shop.E032", f"METRICS_ADDRESSES cannot be read: {problem}."),
            "Set METRICS_ADDRESSES to addresses or networks such as 10.0.0.0/8, separated by commas.",
        )
        for address, problem in (
            ("prometheus", "'prometheus' does not appear to be an IPv4 or IPv6 network"),
            ("10.0.0.1/8", "10.0.0.1/8 has host bits set"),
        )
    ),
    (
        {"PAYMENTS": {"gateway": "gateways.Instant"}},
        ("shop.E001", "'gateways.Instant' cannot be imported: No module named 'gateways'."),
        "Set PAYMENT_GATEWAY to the dotted path of a class.",
    ),
    (
        {"EMAIL_BACKEND": "smtp"},
        ("shop.E001", "'smtp' cannot be imported: smtp doesn't look like a module path."),
        "Set EMAIL_BACKEND to the dotted path of a class.",
    ),
    *(
        (
            {"SHOP": {"url": url}},
            ("shop.E014", f"{url!r} is not the URL of a shop."),
            "Set SHOP_URL to scheme and host, such as https://shop.example.",
        )
        for url in ("shop.example", "https://shop.example/", "ftp://shop.example", "")
    ),
    *(
        (
            {"ORDERS": {"reminder_seconds": reminder, "payment_due_seconds": 1800}},
            ("shop.E003", f"Customers would be reminded after {reminder} s, but payments are due after 1800 s."),
            "Set ORDER_REMINDER_SECONDS below ORDER_PAYMENT_DUE_SECONDS.",
        )
        for reminder in (1800, 1801)
    ),
    *(
        (
            {"ORDERS": {"currency": currency}},
            ("shop.E004", f"{currency!r} is not a currency."),
            "Set SHOP_CURRENCY to an ISO 4217 code, such as GBP.",
        )
        for currency in ("gbp", "POUNDS", "XQQ", "XAU", "DEM", "")
    ),
    *(
        (
            {"REDIS_URL": url},
            ("shop.E005", "REDIS_URL is not an address of Redis."),
            "Begin REDIS_URL with redis://, or remove it.",
        )
        for url in ("http://127.0.0.1:6379", "127.0.0.1:6379")
    ),
    (
        {"EMAIL_TIMEOUT": 9, "NOTIFICATIONS": {"email_deadline_seconds": 8}},
        ("shop.E006", "The mail provider may take 9 s for a reply, but a whole mail is cut off after 8 s."),
        "Set EMAIL_TIMEOUT to at most EMAIL_DEADLINE.",
    ),
    (
        {"EMAIL_USE_TLS": True, "EMAIL_USE_SSL": True},
        ("shop.E007", "EMAIL_USE_TLS and EMAIL_USE_SSL are both on."),
        "Switch off EMAIL_USE_TLS or EMAIL_USE_SSL.",
    ),
    (
        {"PAYMENTS": {"timeout_seconds": 11}, "MESSAGING": {"handler_limit_seconds": 20}},
        ("shop.E009", "The gateway may take 11 s for each of two requests, but a worker is ended after 20 s."),
        "Set PAYMENT_TIMEOUT_SECONDS to at most half of MESSAGING_HANDLER_LIMIT_SECONDS.",
    ),
    *(
        (
            {"PAYMENTS": {"gateway": SIMULATED_GATEWAY, "webhook_secrets": secrets}},
            ("shop.E010", "A webhook secret is missing, too short, or malformed."),
            "Set PAYMENT_WEBHOOK_SECRETS to what the gateway issued: whsec_ and at least 24 bytes in base64.",
        )
        for secrets in ((), ("whsec_c2hvcnQ=",), ("secret" * 10,), (GOOD_SECRET, ""))
    ),
    (
        {"NOTIFICATIONS": {"sms_backend": "sms.Twilio"}},
        ("shop.E001", "'sms.Twilio' cannot be imported: No module named 'sms'."),
        "Set SMS_BACKEND to the dotted path of a class, or leave it empty.",
    ),
    *(
        (
            {"NOTIFICATIONS": {"sms_from": sender}},
            ("shop.E011", "SMS_FROM is not a sender of SMS."),
            "Set it to a number such as +441134960000, a name of up to 11 letters, or a messaging service (MG…).",
        )
        for sender in (
            "01134960000",
            "441134960000",
            "+44 1134960000",
            "The Chair Shop",
            "12345",
            "+441134960000\n",
        )
    ),
    *(
        (
            {"NOTIFICATIONS": {**TWILIO, **missing}},
            ("shop.E012", "SMS are sent by Twilio, but its account, its token or the sender is missing or malformed."),
            "Set TWILIO_ACCOUNT_SID (AC…), TWILIO_AUTH_TOKEN and SMS_FROM.",
        )
        for missing in ({"twilio_account_sid": "AC/../x"}, {"twilio_auth_token": ""}, {"sms_from": ""})
    ),
    (
        {"NOTIFICATIONS": {**TWILIO, "sms_timeout_seconds": 7}, "MESSAGING": {"handler_limit_seconds": 20}},
        ("shop.E013", "The SMS provider may take 7 s for each of two calls, but a worker is ended after 20 s."),
        "Set SMS_TIMEOUT to at most a third of MESSAGING_HANDLER_LIMIT_SECONDS.",
    ),
    *(
        (
            {"SHOP": {"time_zone": time_zone}},
            ("shop.E020", f"{time_zone!r} is not a time zone."),
            "Set SHOP_TIME_ZONE to a name of the IANA database, such as Europe/London.",
        )
        for time_zone in ("Mars", "", "../etc", "europe/london", "CEST")
    ),
    *(
        (
            {"SHOP": {"language": language}},
            ("shop.E021", f"{language!r} is not a language of the shop."),
            "Set SHOP_LANGUAGE to en or de.",
        )
        for language in ("fr", "DE", "de-at", "")
    ),
]


class TestErrors:
    @pytest.mark.parametrize(
        ("changes", "problem", "hint"), [pytest.param(*row, id=f"{row[1][0]}-{row[0]}") for row in ERRORS]
    )
    def test_name_the_problem_and_what_to_set(self, findings_with, changes, problem, hint):
        assert findings_with(**changes) == [(*problem, hint)]

    def test_name_each_number_below_its_minimum(self, findings_with):
        messaging = {"batch_size": 0, "max_attempts": -1, "relay_workers": 0}
        throttling = {"account_per_minute": -1, "trusted_proxies": -1}

        assert findings_with(MESSAGING=messaging, THROTTLING=throttling, EMAIL_TIMEOUT=0) == [
            ("shop.E002", "EMAIL_TIMEOUT is 0.", "Set EMAIL_TIMEOUT to 1 or more."),
            ("shop.E002", "MESSAGING_BATCH_SIZE is 0.", "Set MESSAGING_BATCH_SIZE to 1 or more."),
            ("shop.E002", "MESSAGING_MAX_ATTEMPTS is -1.", "Set MESSAGING_MAX_ATTEMPTS to 1 or more."),
            ("shop.E002", "RELAY_WORKERS is 0.", "Set RELAY_WORKERS to 1 or more."),
            ("shop.E008", "THROTTLE_ACCOUNT_PER_MINUTE is -1.", "Set THROTTLE_ACCOUNT_PER_MINUTE to 0 or more."),
            ("shop.E008", "TRUSTED_PROXIES is -1.", "Set TRUSTED_PROXIES to 0 or more."),
        ]

    @pytest.mark.parametrize(
        "changes",
        [
            {},
            {"MESSAGING": {"batch_size": 1, "relay_workers": 1}, "THROTTLING": {"account_per_minute": 0}},
            {"EMAIL_TIMEOUT": 1},
            {"NOTIFICATIONS": {"sms_backend": "", "sms_timeout_seconds": 7}},
            {"REDIS_URL": "redis://127.0.0.1:6379/0"},
            {"REDIS_URL": "rediss://cache.example.com"},
            {"REDIS_URL": "unix:///redis.sock"},
            {"PAYMENTS": {"gateway": SIMULATED_GATEWAY, "webhook_secrets": (GOOD_SECRET, GOOD_SECRET)}},
            {"PAYMENTS": {"gateway": INSTANT_GATEWAY, "webhook_secrets": ()}},
            {"NOTIFICATIONS": TWILIO},
            *({"NOTIFICATIONS": {"sms_from": sender}} for sender in ("+441134960000", "MG" + 32 * "0", "Adas Chairs")),
            {"NOTIFICATIONS": {"sms_backend": ""}},
        ],
    )
    def test_are_none_for_valid_settings(self, findings_with, changes):
        assert findings_with(**changes) == []


class TestDeploymentWarnings:
    @pytest.mark.parametrize(
        ("gateway", "operator", "ids"),
        [
            (STRIPE_GATEWAY, "olga@example.com", []),
            (STRIPE_GATEWAY, "", ["shop.W002"]),
            (SIMULATED_GATEWAY, "olga@example.com", ["shop.W003"]),
            (INSTANT_GATEWAY, "olga@example.com", ["shop.W003"]),
        ],
    )
    def test_name_a_missing_operator_and_a_simulated_gateway(self, warnings_with, gateway, operator, ids):
        cache = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "x"}}

        shop = {"operator_email": operator, "url": "https://shop.example"}

        assert warnings_with(CACHES=cache, PAYMENTS={"gateway": gateway}, SHOP=shop) == ids

    @pytest.mark.parametrize(
        ("backend", "ids"), [("locmem.LocMemCache", ["shop.W001"]), ("redis.RedisCache", []), ("db.DatabaseCache", [])]
    )
    def test_name_a_cache_that_processes_do_not_share(self, warnings_with, settings, backend, ids):
        settings.CACHES = {"default": {"BACKEND": f"django.core.cache.backends.{backend}", "LOCATION": "x"}}

        assert warnings_with(PAYMENTS={"gateway": STRIPE_GATEWAY}, SHOP={"url": "https://shop.example"}) == ids

    def test_name_an_address_that_only_this_machine_can_open(self, warnings_with, settings):
        settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "x"}}

        assert warnings_with(PAYMENTS={"gateway": STRIPE_GATEWAY}) == ["shop.W004"]
