from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from django.core.checks import run_checks

from shop.settings.groups import INSTANT_GATEWAY, SIMULATED_GATEWAY
from shop.settings.variables import SettingsGroup

GOOD_SECRET = "whsec_" + 40 * "A"
STRIPE_GATEWAY = "payments.gateway.adapters.stripe.StripeGateway"

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


ERRORS = [
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
        {"EMAIL_TIMEOUT": 20, "MESSAGING": {"handler_limit_seconds": 20}},
        ("shop.E006", "Sending mail may take 20 s, but a worker is ended after 20 s."),
        "Set EMAIL_TIMEOUT below MESSAGING_HANDLER_LIMIT_SECONDS.",
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
            {"REDIS_URL": "redis://127.0.0.1:6379/0"},
            {"REDIS_URL": "rediss://cache.example.com"},
            {"REDIS_URL": "unix:///redis.sock"},
            {"PAYMENTS": {"gateway": SIMULATED_GATEWAY, "webhook_secrets": (GOOD_SECRET, GOOD_SECRET)}},
            {"PAYMENTS": {"gateway": INSTANT_GATEWAY, "webhook_secrets": ()}},
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

        assert warnings_with(CACHES=cache, PAYMENTS={"gateway": gateway}, SHOP={"operator_email": operator}) == ids

    @pytest.mark.parametrize(
        ("backend", "ids"), [("locmem.LocMemCache", ["shop.W001"]), ("redis.RedisCache", []), ("db.DatabaseCache", [])]
    )
    def test_name_a_cache_that_processes_do_not_share(self, warnings_with, settings, backend, ids):
        settings.CACHES = {"default": {"BACKEND": f"django.core.cache.backends.{backend}", "LOCATION": "x"}}

        assert warnings_with(PAYMENTS={"gateway": STRIPE_GATEWAY}) == ids
