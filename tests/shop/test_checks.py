import pytest
from django.core.checks import run_checks

GOOD_SECRET = "whsec_" + 40 * "A"


@pytest.fixture
def told(settings):
    """
    Set what the keywords say, and tell what the checks find: each one's id, text and hint.
    """

    def told(**changes) -> list[tuple[str, str, str]]:
        for name, value in changes.items():
            known = getattr(settings, name)
            setattr(settings, name, known | value if isinstance(known, dict) else value)
        return [(found.id, found.msg, found.hint) for found in run_checks() if found.id.startswith("shop.")]

    return told


class TestChecks:
    def test_find_nothing_to_say_about_the_defaults(self, told):
        assert told() == []

    def test_refuse_a_gateway_that_is_not_there(self, told):
        assert told(PAYMENTS={"GATEWAY": "gateways.Instant"}) == [
            (
                "shop.E001",
                "'gateways.Instant' cannot be imported: No module named 'gateways'.",
                "Set PAYMENT_GATEWAY to the dotted path of a class.",
            )
        ]

    def test_refuse_a_mail_backend_that_is_not_there(self, told):
        assert told(EMAIL_BACKEND="smtp") == [
            (
                "shop.E001",
                "'smtp' cannot be imported: smtp doesn't look like a module path.",
                "Set EMAIL_BACKEND to the dotted path of a class.",
            )
        ]

    def test_refuse_numbers_below_one(self, told):
        assert told(MESSAGING={"BATCH_SIZE": 0, "MAX_ATTEMPTS": -1}, RELAY_WORKERS=0, EMAIL_TIMEOUT=0) == [
            ("shop.E002", "MESSAGING_BATCH_SIZE is 0.", "Set MESSAGING_BATCH_SIZE to 1 or more."),
            ("shop.E002", "MESSAGING_MAX_ATTEMPTS is -1.", "Set MESSAGING_MAX_ATTEMPTS to 1 or more."),
            ("shop.E002", "RELAY_WORKERS is 0.", "Set RELAY_WORKERS to 1 or more."),
            ("shop.E002", "EMAIL_TIMEOUT is 0.", "Set EMAIL_TIMEOUT to 1 or more."),
        ]

    def test_accept_one(self, told):
        assert told(MESSAGING={"BATCH_SIZE": 1}, RELAY_WORKERS=1, EMAIL_TIMEOUT=1) == []

    @pytest.mark.parametrize("reminder", [1800, 1801])
    def test_refuse_a_reminder_that_comes_too_late(self, told, reminder):
        assert told(ORDERS={"REMINDER_SECONDS": reminder, "PAYMENT_DUE_SECONDS": 1800}) == [
            (
                "shop.E003",
                f"Customers would be reminded after {reminder} s, but payments are due after 1800 s.",
                "Set ORDER_REMINDER_SECONDS below ORDER_PAYMENT_DUE_SECONDS.",
            )
        ]

    @pytest.mark.parametrize("currency", ["gbp", "POUNDS", "XQQ", ""])
    def test_refuse_an_unknown_currency(self, told, currency):
        assert told(ORDERS={"CURRENCY": currency}) == [
            ("shop.E004", f"{currency!r} is no currency.", "Set SHOP_CURRENCY to an ISO 4217 code, such as GBP.")
        ]

    @pytest.mark.parametrize(
        "address", ["redis://127.0.0.1:6379/0", "rediss://cache.example.com", "unix:///redis.sock"]
    )
    def test_accept_the_addresses_of_redis(self, told, address):
        assert told(REDIS_URL=address) == []

    @pytest.mark.parametrize("address", ["http://127.0.0.1:6379", "127.0.0.1:6379"])
    def test_refuse_an_address_that_is_not_that_of_redis(self, told, address):
        assert told(REDIS_URL=address) == [
            ("shop.E005", "The cache's address is not Redis's.", "Begin REDIS_URL with redis://, or leave it out.")
        ]

    def test_refuse_to_wait_for_mail_until_the_worker_is_ended(self, told):
        assert told(EMAIL_TIMEOUT=20, MESSAGING={"HANDLER_LIMIT_SECONDS": 20}) == [
            (
                "shop.E006",
                "Mail may hang for 20 s, but a worker is ended after 20 s.",
                "Set EMAIL_TIMEOUT below MESSAGING_HANDLER_LIMIT_SECONDS.",
            )
        ]

    def test_refuse_limits_below_none(self, told):
        assert told(THROTTLING={"ACCOUNT_PER_MINUTE": -1}, REST_FRAMEWORK={"NUM_PROXIES": -1}) == [
            ("shop.E008", "THROTTLE_ACCOUNT_PER_MINUTE is -1.", "Set THROTTLE_ACCOUNT_PER_MINUTE to 0 or more."),
            ("shop.E008", "TRUSTED_PROXIES is -1.", "Set TRUSTED_PROXIES to 0 or more."),
        ]

    def test_refuse_to_wait_for_the_gateway_until_the_worker_is_ended(self, told):
        assert told(PAYMENTS={"TIMEOUT_SECONDS": 11}, MESSAGING={"HANDLER_LIMIT_SECONDS": 20}) == [
            (
                "shop.E009",
                "The gateway may take 11 s to answer each of two calls, but a worker is ended after 20 s.",
                "Set PAYMENT_TIMEOUT_SECONDS to at most half of MESSAGING_HANDLER_LIMIT_SECONDS.",
            )
        ]

    @pytest.mark.parametrize("secrets", [[], ["whsec_c2hvcnQ="], ["secret" * 10], [GOOD_SECRET, ""]])
    def test_refuse_webhook_secrets_that_are_none(self, told, secrets):
        gateway = "payments.gateway.adapters.simulated.SimulatedGateway"

        assert told(PAYMENTS={"GATEWAY": gateway, "WEBHOOK_SECRETS": secrets}) == [
            (
                "shop.E010",
                "A webhook secret is missing, too short, or unreadable.",
                "Set PAYMENT_WEBHOOK_SECRETS to what the gateway gave you: whsec_ and at least 24 bytes in base64.",
            )
        ]

    def test_accept_several_webhook_secrets_and_none_where_nobody_calls_back(self, told):
        assert told(PAYMENTS={"WEBHOOK_SECRETS": [GOOD_SECRET, GOOD_SECRET]}) == []
        assert told(PAYMENTS={"WEBHOOK_SECRETS": []}) == []

    @pytest.mark.parametrize(
        ("gateway", "operator", "ids"),
        [
            ("payments.gateway.adapters.stripe.StripeGateway", "olga@example.com", []),
            ("payments.gateway.adapters.stripe.StripeGateway", "", ["shop.W002"]),
            ("payments.gateway.adapters.simulated.SimulatedGateway", "olga@example.com", ["shop.W003"]),
        ],
    )
    def test_warn_before_deploying_of_money_that_nobody_watches_or_pays(self, settings, gateway, operator, ids):
        settings.PAYMENTS = settings.PAYMENTS | {"GATEWAY": gateway}
        settings.OPERATOR_EMAIL = operator

        found = run_checks(include_deployment_checks=True)

        assert [warning.id for warning in found if warning.id in {"shop.W002", "shop.W003"}] == ids

    @pytest.mark.parametrize(
        ("backend", "ids"), [("locmem.LocMemCache", ["shop.W001"]), ("redis.RedisCache", []), ("db.DatabaseCache", [])]
    )
    def test_warn_before_deploying_of_counters_that_are_not_shared(self, settings, backend, ids):
        settings.CACHES = {"default": {"BACKEND": f"django.core.cache.backends.{backend}", "LOCATION": "x"}}
        settings.PAYMENTS = settings.PAYMENTS | {"GATEWAY": "payments.gateway.adapters.stripe.StripeGateway"}

        found = run_checks(include_deployment_checks=True)

        assert [warning.id for warning in found if warning.id.startswith("shop.")] == ids

    def test_refuse_two_encryptions_of_mail(self, told):
        assert told(EMAIL_USE_TLS=True, EMAIL_USE_SSL=True) == [
            ("shop.E007", "Mail has two encryptions.", "Switch off EMAIL_USE_TLS or EMAIL_USE_SSL.")
        ]
