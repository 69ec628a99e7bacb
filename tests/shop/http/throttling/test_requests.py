from functools import partial

import pytest
from rest_framework.test import APIClient

from shop.http import throttling
from shop.http.throttling import REQUESTS_OF_ADDRESS
from tests.callers import ORDERS, PRODUCTS, throttled
from tests.factories import api_of
from tests.threads import at_once

pytestmark = pytest.mark.django_db


class TestRequests:
    def test_of_an_account_are_counted_by_the_minute(self, limits, at):
        limits(account_per_minute=3)
        ada, again, bob = api_of("ada"), api_of("ada"), api_of("bob")
        at(20.5)

        assert [api.get(ORDERS).status_code for api in (ada, again, ada)] == [200, 200, 200]
        assert [throttled(api.get(ORDERS)) for api in (ada, again, bob)] == [40, 40, 0]
        at(60)
        assert ada.get(ORDERS).status_code == 200

    def test_of_strangers_are_counted_by_their_address(self, limits):
        limits(address_per_minute=2)
        stranger, ada = APIClient(), api_of("ada")

        assert [throttled(stranger.get(PRODUCTS)) for _ in range(3)] == [0, 0, 60]
        assert throttled(stranger.get(PRODUCTS, REMOTE_ADDR="192.0.2.7")) == 0
        assert throttled(ada.get(PRODUCTS)) == 0

    def test_without_a_limit_are_not_counted(self, monkeypatch):
        monkeypatch.setattr(throttling, "_increment", lambda *_: pytest.fail("counted"))

        assert APIClient().get(PRODUCTS).status_code == 200

    def test_at_the_same_moment_are_all_counted(self, limits):
        limits(address_per_minute=50)

        answers = at_once(*[partial(REQUESTS_OF_ADDRESS.count, "192.0.2.7")] * 60)

        assert sum(answer is not None for answer in answers) == 10
