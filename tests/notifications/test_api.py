from uuid import uuid4

import pytest
from rest_framework.test import APIClient

from tests.notifications.events import ORDER, confirmed, confirmed_to, make_notification, notify
from tests.outbox import counting_statements

pytestmark = pytest.mark.django_db

NOTIFICATIONS = "/api/v1/notifications/"


def listed(api: APIClient, **filters: object) -> list[str]:
    return [notification["id"] for notification in api.get(NOTIFICATIONS, filters).json()["results"]]


class TestDetail:
    def test_shows_the_whole_notification(self, api):
        notification = make_notification(confirmed_to("ada", lines=()))

        response = api.get(f"{NOTIFICATIONS}{notification.pk}/")

        assert response.status_code == 200
        assert response.json() == {
            "url": f"http://testserver{NOTIFICATIONS}{notification.pk}/",
            "id": str(notification.pk),
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

    def test_answers_404_for_a_notification_without_a_customer(self, api):
        notification = make_notification(confirmed(customer_id=""))

        response, unknown = (api.get(f"{NOTIFICATIONS}{name}/") for name in (notification.pk, uuid4()))

        assert (response.status_code, response.json()["code"]) == (404, "not_found")
        assert response.json() | {"request_id": ""} == unknown.json() | {"request_id": ""}


class TestList:
    def test_shows_only_own_notifications_from_the_newest(self, api):
        first, second = (make_notification(confirmed_to("ada")) for _ in range(2))
        notify(confirmed_to("bob"), confirmed(customer_id=""))

        assert listed(api) == [str(second.pk), str(first.pk)]

    def test_filters_by_order_kind_and_status(self, api):
        sent = make_notification(confirmed_to("ada"))
        unsent = make_notification(confirmed_to("ada", order_id=str(uuid4()), email=""))

        assert listed(api, order_id=ORDER) == [str(sent.pk)]
        assert listed(api, status="suppressed") == [str(unsent.pk)]
        assert listed(api, kind="payment_refunded") == []
        assert listed(api, kind="order_confirmed") == [str(unsent.pk), str(sent.pk)]

    def test_costs_as_many_statements_for_fifty_notifications_as_for_one(self, api):
        notify(confirmed_to("ada"))
        with counting_statements() as for_one:
            assert len(listed(api)) == 1
        notify(*[confirmed_to("ada") for _ in range(49)])

        with counting_statements() as for_fifty:
            assert len(listed(api)) == 50

        assert len(for_fifty) == len(for_one)
