import pytest
from rest_framework.test import APIClient

from shop.http.throttling import address_of
from tests.callers import PRODUCTS, throttled

pytestmark = pytest.mark.django_db


@pytest.fixture
def behind_proxies(settings):
    def behind_proxies(number: int) -> None:
        settings.REST_FRAMEWORK = settings.REST_FRAMEWORK | {"NUM_PROXIES": number}

    return behind_proxies


class TestAddress:
    @pytest.mark.parametrize("forged", ["192.0.2.{number}", "{number}", "", "192.0.2.{number}, 127.0.0.1"])
    def test_cannot_be_forged(self, limits, forged):
        limits(address_per_minute=3)

        answers = [
            APIClient().get(PRODUCTS, headers={"X-Forwarded-For": forged.format(number=number)}) for number in range(5)
        ]

        assert [bool(throttled(answer)) for answer in answers] == [False] * 3 + [True] * 2

    def test_is_the_one_that_the_nearest_proxy_saw(self, limits, behind_proxies):
        limits(address_per_minute=1)
        behind_proxies(1)

        def through_proxy(told: str) -> int:
            return throttled(APIClient().get(PRODUCTS, headers={"X-Forwarded-For": told}))

        assert [through_proxy("192.0.2.1"), through_proxy("192.0.2.2")] == [0, 0]
        assert [through_proxy("192.0.2.9, 192.0.2.1"), through_proxy("198.51.100.1,192.0.2.2")] == [60, 60]

    @pytest.mark.parametrize(
        ("told", "address"),
        [
            ((0, None, "192.0.2.1"), "192.0.2.1"),
            ((0, "198.51.100.1", "192.0.2.1"), "192.0.2.1"),
            ((1, "198.51.100.1", "192.0.2.1"), "198.51.100.1"),
            ((1, "203.0.113.1, 198.51.100.1", "192.0.2.1"), "198.51.100.1"),
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
    def test_is_told_in_one_way(self, rf, behind_proxies, told, address):
        proxies, forwarded, sender = told
        behind_proxies(proxies)
        headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}

        assert address_of(rf.get("/", headers=headers, REMOTE_ADDR=sender)) == address
