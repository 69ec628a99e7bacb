import time
from contextlib import ExitStack
from dataclasses import dataclass, replace

import pytest
from django.http import HttpResponse
from django.utils import timezone
from rest_framework.test import APIClient

from orders import long_polling, services
from orders.models import Order
from tests.factories import make_stock, place_order
from tests.orders.refunds import refund_of
from tests.threads import at_once

pytestmark = pytest.mark.django_db(transaction=True)

PLACED, CONFIRMED = 'W/"placed-0-0"', 'W/"confirmed-0-0"'


@pytest.fixture
def order() -> Order:
    make_stock()
    return place_order()


def get(api: APIClient, order: Order, **headers: str) -> HttpResponse:
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return api.get(f"/api/v1/orders/{order.pk}/", headers=headers)


@dataclass
class Timed:
    seconds: float
    response: HttpResponse


def timed_get(api: APIClient, order: Order, prefer: str) -> Timed:
    """
    Request an order that is known to be placed.
    """
    began = time.monotonic()
    response = get(api, order, If_None_Match=PLACED, Prefer=prefer)
    return Timed(time.monotonic() - began, response)


class TestETag:
    def test_names_the_state_of_the_order(self, api, order):
        response = get(api, order)

        assert response.headers["ETag"] == PLACED
        assert response.headers["Cache-Control"] == "private, no-cache"

    def test_saves_the_body_if_it_matches(self, api, order):
        response = get(api, order, If_None_Match=f'"other", {PLACED}')

        assert (response.status_code, response.content, response.headers["ETag"]) == (304, b"", PLACED)

    def test_changes_with_each_step(self, api, order, drain):
        drain()

        response = get(api, order, If_None_Match=PLACED)

        assert (response.status_code, response.json()["status"]) == (200, "confirmed")
        assert response.headers["ETag"] == CONFIRMED

    def test_changes_with_a_refund_of_surplus_money(self, api, order, drain):
        drain()

        services.record_refunds([refund_of(order.pk, 1, surplus=True, cause="double")], now=timezone.now())

        response = get(api, order, If_None_Match=CONFIRMED)
        assert (response.status_code, response.headers["ETag"]) == (200, 'W/"confirmed-0-1"')
        [refund] = response.json()["refunds"]
        assert (refund["amount"], refund["currency"], refund["surplus"], refund["cause"]) == (1, "GBP", True, "double")


class TestWait:
    def test_ends_as_soon_as_the_order_changes(self, api, order):
        poll, _ = at_once(
            lambda: timed_get(api, order, "respond-async, wait=20"),
            lambda: services.cancel_order(str(order.pk), reason="by_operator", now=timezone.now()),
        )

        assert (poll.response.status_code, poll.response.json()["status"]) == (200, "cancelled")
        assert poll.seconds < 10

    def test_ends_after_the_requested_time_without_a_change(self, api, order):
        poll = timed_get(api, order, "wait=1")

        assert (poll.response.status_code, poll.response.headers["Preference-Applied"]) == (304, "wait=1")
        assert poll.seconds >= 1

    def test_is_limited_by_the_setting(self, api, order, settings):
        settings.ORDERS = replace(settings.ORDERS, follow_seconds=1)

        assert timed_get(api, order, "wait=9999").response.headers["Preference-Applied"] == "wait=1"

    def test_ends_with_a_refund_of_surplus_money(self, api, order):
        poll, _ = at_once(
            lambda: timed_get(api, order, "wait=20"),
            lambda: services.record_refunds([refund_of(order.pk, 1, surplus=True, cause="double")], now=timezone.now()),
        )

        assert (poll.response.status_code, len(poll.response.json()["refunds"])) == (200, 1)
        assert poll.seconds < 10


class TestNoWait:
    @pytest.mark.parametrize("prefer", ["wait", "wait=", "wait=-1", "wait=99999", "wait=1e3", "await=9"])
    def test_without_a_valid_preference(self, api, order, prefer):
        response = get(api, order, If_None_Match=PLACED, Prefer=prefer)

        assert (response.status_code, "Preference-Applied" in response.headers) == (304, False)

    @pytest.mark.parametrize("etag", [CONFIRMED, "", "*"])
    def test_without_the_current_etag(self, api, order, etag):
        assert "Preference-Applied" not in get(api, order, If_None_Match=etag, Prefer="wait=20").headers

    def test_for_a_final_order(self, api, order, drain):
        drain()

        response = get(api, order, If_None_Match=CONFIRMED, Prefer="wait=20")

        assert (response.status_code, "Preference-Applied" in response.headers) == (304, False)

    def test_if_every_waiter_is_busy(self, api, order, settings):
        with ExitStack() as busy:
            for _ in range(settings.ORDERS.followers):
                busy.enter_context(long_polling._waiters)
            response = get(api, order, If_None_Match=PLACED, Prefer="wait=20")

        assert (response.status_code, "Preference-Applied" in response.headers) == (304, False)
