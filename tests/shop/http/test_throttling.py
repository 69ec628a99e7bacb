"""
Rate limits of requests. Those of failed authentication are tested with the accounts.
"""

from functools import partial

import pytest
from django.contrib.auth import get_user_model
from django.core.cache import cache
from rest_framework.exceptions import Throttled
from rest_framework.test import APIClient

from shop.http import throttling
from shop.http.throttling import ADDRESS_FAILURES, ADDRESS_REQUESTS, USERNAME_FAILURES, client_address
from tests.callers import ORDERS, PRODUCTS, ask_for_a_token, log_in, throttled
from tests.factories import PASSWORD, api_of
from tests.threads import at_once

pytestmark = pytest.mark.django_db

ADDRESS = "192.0.2.7"


class TestRequestThrottle:
    def test_counts_the_requests_of_an_account_by_the_minute(self, limits, at):
        limits(account_per_minute=3)
        ada, also_ada, bob = api_of("ada"), api_of("ada"), api_of("bob")
        at(20.5)

        assert [api.get(ORDERS).status_code for api in (ada, also_ada, ada)] == [200, 200, 200]
        assert [throttled(api.get(ORDERS)) for api in (ada, also_ada, bob)] == [40, 40, 0]
        at(60)
        assert ada.get(ORDERS).status_code == 200

    def test_counts_anonymous_requests_by_address(self, limits):
        limits(address_per_minute=2)
        stranger, ada = APIClient(), api_of("ada")

        forged = [{"X-Forwarded-For": f"{ADDRESS}{number}"} for number in range(3)]
        assert [throttled(stranger.get(PRODUCTS, headers=headers)) for headers in forged] == [0, 0, 60]
        assert throttled(stranger.get(PRODUCTS, REMOTE_ADDR=ADDRESS)) == 0
        assert throttled(ada.get(PRODUCTS)) == 0

    def test_counts_nothing_without_a_limit(self, monkeypatch):
        monkeypatch.setattr(throttling, "_increment", lambda *_: pytest.fail("counted"))

        assert APIClient().get(PRODUCTS).status_code == 200

    def test_counts_every_concurrent_request(self, limits):
        limits(address_per_minute=50)

        answers = at_once(*[partial(ADDRESS_REQUESTS.consume, ADDRESS)] * 60)

        assert sum(answer is not None for answer in answers) == 10


class TestClientAddress:
    @pytest.fixture
    def behind_proxies(self, settings):
        def behind_proxies(number: int) -> None:
            settings.REST_FRAMEWORK = settings.REST_FRAMEWORK | {"NUM_PROXIES": number}

        return behind_proxies

    @pytest.mark.parametrize(
        ("sent", "address"),
        [
            ((0, None, "192.0.2.1"), "192.0.2.1"),
            ((0, "198.51.100.1", "192.0.2.1"), "192.0.2.1"),
            ((1, "198.51.100.1", "192.0.2.1"), "198.51.100.1"),
            ((1, "203.0.113.1, 198.51.100.1", "192.0.2.1"), "198.51.100.1"),
            ((1, "203.0.113.1,198.51.100.1", "192.0.2.1"), "198.51.100.1"),
            ((2, "203.0.113.1, 198.51.100.1", "192.0.2.1"), "203.0.113.1"),
            ((1, None, "192.0.2.1"), "192.0.2.1"),
            ((1, "unknown", "192.0.2.1"), "192.0.2.1"),
            ((1, "\xff", "192.0.2.1"), "192.0.2.1"),
            ((0, None, "2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64"),
            ((0, None, "::ffff:192.0.2.1"), "192.0.2.1"),
            ((0, None, "fe80::1%eth0"), "fe80::/64"),
            ((0, None, ""), ""),
        ],
    )
    def test_is_the_one_that_the_nearest_trusted_proxy_saw(self, rf, behind_proxies, sent, address):
        proxies, forwarded, sender = sent
        behind_proxies(proxies)
        headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}

        assert client_address(rf.get("/", headers=headers, REMOTE_ADDR=sender)) == address


class TestCache:
    @pytest.fixture(autouse=True)
    def _reachable_at_first(self, monkeypatch):
        monkeypatch.setattr(throttling, "_paused_until", 0.0)
        monkeypatch.setattr(throttling, "_is_reported", False)

    @pytest.fixture
    def _no_redis(self, settings):
        redis = "django.core.cache.backends.redis.RedisCache"
        settings.CACHES = {"default": {"BACKEND": redis, "LOCATION": "redis://127.0.0.1:1/0"}}

    @pytest.mark.usefixtures("_no_redis")
    def test_turns_the_limits_off_while_it_is_unreachable_and_is_logged_once(self, limits, caplog):
        get_user_model().objects.create_user("ada", password=PASSWORD, is_staff=True)
        limits(address_per_minute=1, failures_per_minute=1, failed_logins_per_quarter_hour=1)

        answers = [APIClient().get(PRODUCTS).status_code for _ in range(3)]
        logins = [
            ask_for_a_token(password="wrong").status_code,
            ask_for_a_token().status_code,
            log_in("/admin/login/").status_code,
        ]

        assert (answers, logins) == ([200, 200, 200], [401, 201, 302])
        [line] = [record.message for record in caplog.records if record.name == "shop.http.throttling"]
        assert line.startswith("The cache is unreachable: rate limits are off until it is back: Error 111")

    @pytest.mark.usefixtures("_no_redis")
    def test_is_not_queried_for_a_while_after_a_failure(self, limits, monkeypatch):
        limits(failures_per_minute=1)
        ADDRESS_FAILURES.record(ADDRESS)

        monkeypatch.setattr(throttling, "_increment", lambda *_: pytest.fail("queried"))

        ADDRESS_FAILURES.record(ADDRESS)

    def test_counts_again_when_it_is_back(self, limits, monkeypatch):
        limits(address_per_minute=1)
        monkeypatch.setattr(throttling, "cache", None)
        ADDRESS_REQUESTS.consume(ADDRESS)
        monkeypatch.setattr(throttling, "cache", cache)
        monkeypatch.setattr(throttling, "_paused_until", 0.0)
        ADDRESS_REQUESTS.consume(ADDRESS)

        with pytest.raises(Throttled):
            ADDRESS_REQUESTS.consume(ADDRESS)

    def test_stores_no_username_and_no_counter_without_an_end(self, limits):
        limits(failed_logins_per_quarter_hour=1)
        USERNAME_FAILURES.record("ada \x00 é" * 100)

        assert "ada" not in str(cache._cache)
        assert all(cache._expire_info.values())
