import pytest
from django.contrib.auth import get_user_model
from django.core.cache import cache
from rest_framework.exceptions import Throttled
from rest_framework.test import APIClient

from shop.http import throttling
from shop.http.throttling import FAILED_LOGINS_OF_NAME, FAILURES_OF_ADDRESS, REQUESTS_OF_ADDRESS
from tests.callers import PASSWORD, PRODUCTS, ask_for_a_token, log_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada():
    return get_user_model().objects.create_user("ada", password=PASSWORD, is_staff=True)


class TestCache:
    @pytest.fixture(autouse=True)
    def _reachable_at_first(self, monkeypatch):
        monkeypatch.setattr(throttling, "_unreachable_until", 0.0)
        monkeypatch.setattr(throttling, "_complained", False)

    @pytest.fixture
    def _no_redis(self, settings):
        settings.CACHES = {
            "default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "redis://127.0.0.1:1/0"}
        }

    @pytest.mark.usefixtures("_no_redis")
    def test_out_of_reach_stops_nobody_and_is_complained_of_once(self, ada, limits, caplog):
        limits(address_per_minute=1, failures_per_minute=1, failed_logins_per_quarter_hour=1)

        answers = [APIClient().get(PRODUCTS).status_code for _ in range(3)]
        logins = [
            ask_for_a_token(password="wrong").status_code,
            ask_for_a_token().status_code,
            log_in("/admin/login/").status_code,
        ]

        assert (answers, logins) == ([200, 200, 200], [401, 201, 302])
        complaints = [record.message for record in caplog.records if record.name == "shop.http.throttling"]
        assert len(complaints) == 1
        assert complaints[0].startswith("The cache is out of reach, so nobody is throttled until it is back: Error 111")

    @pytest.mark.usefixtures("_no_redis")
    def test_out_of_reach_is_left_alone_for_a_while(self, limits, monkeypatch):
        limits(failures_per_minute=1)
        FAILURES_OF_ADDRESS.note("192.0.2.7")

        monkeypatch.setattr(throttling, "_increment", lambda *_: pytest.fail("asked"))

        FAILURES_OF_ADDRESS.note("192.0.2.7")

    def test_counts_again_when_it_is_back(self, limits, monkeypatch):
        limits(address_per_minute=1)
        monkeypatch.setattr(throttling, "cache", None)
        REQUESTS_OF_ADDRESS.count("192.0.2.7")
        monkeypatch.setattr(throttling, "cache", cache)
        monkeypatch.setattr(throttling, "_unreachable_until", 0.0)
        REQUESTS_OF_ADDRESS.count("192.0.2.7")

        with pytest.raises(Throttled):
            REQUESTS_OF_ADDRESS.count("192.0.2.7")

    def test_keeps_no_name_and_no_count_for_ever(self, limits):
        limits(failed_logins_per_quarter_hour=1)
        FAILED_LOGINS_OF_NAME.note("ada \x00 é" * 100)

        assert "ada" not in str(cache._cache)
        assert all(cache._expire_info.values())
