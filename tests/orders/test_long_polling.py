import time
from dataclasses import replace
from functools import partial

import pytest
from django.utils import timezone

from orders import long_polling, services
from orders.models import Order
from tests.factories import api_of, make_stock, place_order
from tests.threads import at_once

pytestmark = pytest.mark.django_db(transaction=True)

KNOWN = 'W/"placed-0"'


@pytest.fixture
def order() -> Order:
    make_stock()
    return place_order()


def look(order: Order, api=None, **headers: str):
    return (api or api_of("ada")).get(
        f"/api/v1/orders/{order.pk}/", headers={name.replace("_", "-"): value for name, value in headers.items()}
    )


def seconds_of(call) -> tuple[float, object]:
    began = time.monotonic()
    answer = call()
    return time.monotonic() - began, answer


class TestETag:
    def test_names_the_state_of_the_order(self, order):
        answer = look(order)

        assert answer.headers["ETag"] == KNOWN
        assert answer.headers["Cache-Control"] == "private, no-cache"

    def test_spares_the_body_to_who_knows_it(self, order):
        answer = look(order, If_None_Match=f'"other", {KNOWN}')

        assert (answer.status_code, answer.content, answer.headers["ETag"]) == (304, b"", KNOWN)

    def test_is_another_after_each_step(self, order, drain):
        drain()

        answer = look(order, If_None_Match=KNOWN)

        assert (answer.status_code, answer.json()["status"], answer.headers["ETag"]) == (
            200,
            "confirmed",
            'W/"confirmed-0"',
        )


class TestFollow:
    def test_is_answered_as_soon_as_there_is_news(self, order):
        api, waiting = api_of("ada"), partial(look, order, If_None_Match=KNOWN, Prefer="respond-async, wait=20")

        (spent, answer), _ = at_once(
            partial(seconds_of, partial(waiting, api)),
            partial(services.cancel_order, str(order.pk), reason="by_operator", now=timezone.now()),
        )

        assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
        assert spent < 10

    def test_is_answered_in_the_end_though_there_is_no_news(self, order):
        spent, answer = seconds_of(partial(look, order, If_None_Match=KNOWN, Prefer="wait=1"))

        assert (answer.status_code, answer.headers["Preference-Applied"]) == (304, "wait=1")
        assert spent >= 1

    def test_waits_no_longer_than_the_shop_wants(self, order, settings):
        settings.ORDERS = replace(settings.ORDERS, follow_seconds=1)

        assert look(order, If_None_Match=KNOWN, Prefer="wait=9999").headers["Preference-Applied"] == "wait=1"

    @pytest.mark.parametrize("prefer", ["wait", "wait=", "wait=-1", "wait=99999", "wait=1e3", "await=9"])
    def test_is_answered_at_once_when_it_does_not_ask_to_wait(self, order, prefer):
        answer = look(order, If_None_Match=KNOWN, Prefer=prefer)

        assert (answer.status_code, "Preference-Applied" in answer.headers) == (304, False)

    @pytest.mark.parametrize("known", ['W/"confirmed-0"', "", "*"])
    def test_is_answered_at_once_when_it_does_not_know_the_state(self, order, known):
        assert "Preference-Applied" not in look(order, If_None_Match=known, Prefer="wait=20").headers

    def test_is_answered_at_once_when_the_order_is_final(self, order, drain):
        drain()

        answer = look(order, If_None_Match='W/"confirmed-0"', Prefer="wait=20")

        assert (answer.status_code, "Preference-Applied" in answer.headers) == (304, False)

    def test_is_answered_at_once_when_too_many_wait_already(self, order, settings):
        for _ in range(settings.ORDERS.followers):
            long_polling._waiters.acquire()
        try:
            answer = look(order, If_None_Match=KNOWN, Prefer="wait=20")
        finally:
            for _ in range(settings.ORDERS.followers):
                long_polling._waiters.release()

        assert (answer.status_code, "Preference-Applied" in answer.headers) == (304, False)
