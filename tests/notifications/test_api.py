from dataclasses import replace
from uuid import uuid4

import pytest
from rest_framework.test import APIClient

from messaging import contracts
from notifications.models import Notification
from tests.factories import make_customer, make_stock, place_order
from tests.notifications.test_services import ORDER, confirmed, notify
from tests.outbox import counting_statements

pytestmark = pytest.mark.django_db

NOTIFICATIONS = "/api/v1/notifications/"


def of(username: str, **changes: object) -> contracts.OrderConfirmed:
    return confirmed(customer_id=str(make_customer(username=username).pk), **changes)


def tell(event: contracts.OrderConfirmed) -> Notification:
    notify(event)
    return Notification.objects.latest("pk")


def listed(api: APIClient, **filters: object) -> list[str]:
    return [notification["id"] for notification in api.get(NOTIFICATIONS, filters).json()["results"]]


class TestDetail:
    def test_shows_what_was_said(self, api, settings):
        settings.SHOP = replace(settings.SHOP, name="Ada's Chairs")
        told = tell(of("ada", lines=()))

        answer = api.get(f"{NOTIFICATIONS}{told.pk}/")

        assert answer.status_code == 200
        assert answer.json() == {
            "url": f"http://testserver{NOTIFICATIONS}{told.pk}/",
            "id": str(told.pk),
            "order_id": ORDER,
            "kind": "order_confirmed",
            "channel": "email",
            "recipient": "ada@example.com",
            "status": "accepted",
            "subject": f"Your order {ORDER} is confirmed",
            "body": (
                "Thank you for your order. We have received your payment:\n\n\nTotal: 90.00 GBP\n\nAda's Chairs\n"
            ),
            "created_at": "2030-06-01T12:00:00Z",
            "accepted_at": "2030-06-01T12:00:00Z",
        }

    @pytest.mark.parametrize(
        "name", ["{others}", "{nobodys}", "{unknown}", "1", "null", "%00", "..%2f", "9" * 21, "{others}x", "' OR 1=1"]
    )
    def test_finds_nothing_under_another_name(self, api, name):
        ids = {"others": tell(of("bob")).pk, "nobodys": tell(confirmed(customer_id="")).pk, "unknown": uuid4()}

        answer = api.get(f"{NOTIFICATIONS}{name.format(**ids)}/")

        unknown = api.get(f"{NOTIFICATIONS}{uuid4()}/")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        assert answer.json() | {"request_id": ""} == unknown.json() | {"request_id": ""}


class TestList:
    def test_shows_own_notifications_from_the_newest(self, api):
        first, second = tell(of("ada")), tell(of("ada"))
        notify(of("bob"), confirmed(customer_id=""))

        assert listed(api) == [str(second.pk), str(first.pk)]

    def test_shows_what_became_of_an_order(self, api, drain):
        make_stock()
        order = place_order()
        drain()

        (told,) = api.get(NOTIFICATIONS).json()["results"]

        assert (told["order_id"], told["kind"], told["status"]) == (str(order.pk), "order_confirmed", "accepted")
        assert api.get(told["url"]).json() == told

    def test_narrows_by_order_kind_and_status(self, api):
        sent = tell(of("ada"))
        unsent = tell(of("ada", order_id=str(uuid4()), email=""))

        assert listed(api, order_id=ORDER) == [str(sent.pk)]
        assert listed(api, status="suppressed") == [str(unsent.pk)]
        assert listed(api, kind="payment_refunded") == []
        assert listed(api, kind="order_confirmed") == [str(unsent.pk), str(sent.pk)]

    @pytest.mark.parametrize(
        ("parameter", "value"), [("status", "sent"), ("kind", "order\x00"), ("order_id", "1"), ("order_id", "\x00")]
    )
    def test_names_a_parameter_that_says_nothing(self, api, parameter, value):
        answer = api.get(NOTIFICATIONS, {parameter: value})

        (fault,) = answer.json()["errors"]
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_parameter")
        assert (fault["code"], fault["parameter"]) == ("invalid_parameter", parameter)

    def test_costs_as_many_statements_for_fifty_notifications_as_for_one(self, api):
        notify(of("ada"))
        with counting_statements() as for_one:
            assert len(listed(api)) == 1
        notify(*[of("ada") for _ in range(49)])

        with counting_statements() as for_fifty:
            assert len(listed(api)) == 50

        assert len(for_fifty) == len(for_one)

    def test_is_for_those_who_are_logged_in(self):
        answer = APIClient().get(NOTIFICATIONS)

        assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")

    @pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
    def test_is_not_to_be_written(self, api, method):
        answer = getattr(api, method)(NOTIFICATIONS)

        assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")

    def test_opens_in_a_browser(self, api):
        told = tell(of("ada"))

        page = api.get(NOTIFICATIONS, headers={"Accept": "text/html"})

        assert page.status_code == 200
        assert told.subject in page.content.decode()
