from itertools import product
from typing import Any
from uuid import uuid4

import pytest
from rest_framework.test import APIClient

from notifications.models import Notification
from notifications.preferences import TITLES
from tests.factories import api_of
from tests.notifications.events import ORDER, confirmed, confirmed_to, make_notification, notify
from tests.outbox import counting_statements

pytestmark = pytest.mark.django_db

NOTIFICATIONS = "/api/v1/notifications/"


def row(kind: str, channel: str, *, is_on: object) -> dict[str, object]:
    """Return a preference as a client sends it."""
    return {"kind": kind, "channel": channel, "is_on": is_on}


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
            "subject": "Your order is confirmed",
            "body": notification.body,
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
        first = make_notification(confirmed_to("ada"))
        second = make_notification(confirmed_to("ada", order_id=str(uuid4())))
        Notification.objects.filter(pk=second.pk).update(status="bounced")

        assert listed(api, order_id=ORDER) == [str(first.pk)]
        assert listed(api, status="bounced") == [str(second.pk)]
        assert listed(api, kind="payment_refunded") == []
        assert listed(api, kind="order_confirmed") == [str(second.pk), str(first.pk)]

    @pytest.mark.parametrize(
        ("status", "by_default", "with_pending"),
        [
            *((status, True, True) for status in ("accepted", "delivered", "bounced")),
            *((status, False, True) for status in ("queued", "sending", "unknown")),
            *((status, False, False) for status in ("failed", "suppressed")),
        ],
    )
    def test_shows_what_was_sent_and_on_request_what_is_on_its_way(self, api, status, by_default, with_pending):
        make_notification(confirmed_to("ada"))
        Notification.objects.update(status=status)

        assert (bool(listed(api)), bool(listed(api, include="pending"))) == (by_default, with_pending)

    def test_costs_as_many_statements_for_fifty_notifications_as_for_one(self, api):
        notify(confirmed_to("ada"))
        with counting_statements() as for_one:
            assert len(listed(api)) == 1
        notify(*[confirmed_to("ada") for _ in range(49)])

        with counting_statements() as for_fifty:
            assert len(listed(api)) == 50

        assert len(for_fifty) == len(for_one)


class TestPreferences:
    URL = "/api/v1/notification-preferences/"

    def send(self, api: APIClient, *rows: object, method: str = "patch") -> Any:
        return getattr(api, method)(self.URL, {"preferences": list(rows)}, format="json")

    def test_list_every_kind_and_channel(self, api):
        rows = api.get(self.URL).json()["preferences"]

        assert [(row["kind"], row["channel"]) for row in rows] == list(product(TITLES, ["email", "sms"]))
        assert rows[8] == {
            "kind": "payment_due_soon",
            "title": "Reminder of a payment",
            "channel": "email",
            "is_on": True,
            "is_required": False,
        }
        assert {row["kind"] for row in rows if row["is_required"]} == set(TITLES) - {
            "order_received",
            "payment_due_soon",
        }

    @pytest.mark.parametrize("method", ["patch", "post"])
    def test_are_changed_for_the_customer_alone(self, api, method):
        before = api.get(self.URL).json()["preferences"]

        response = self.send(api, row("payment_due_soon", "email", is_on=False), method=method)

        changed = [one for one in response.json()["preferences"] if one not in before]
        assert (response.status_code, changed) == (200, [before[8] | {"is_on": False}])
        assert api.get(self.URL).json() == response.json()
        assert api_of("bob").get(self.URL).json()["preferences"] == before
