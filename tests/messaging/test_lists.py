"""Lists of the admin whose tables are large."""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from django.utils import timezone

from messaging.kernel import admin
from messaging.kernel.ids import lowest_id
from messaging.models import Delivery, OutboxMessage
from tests.operators import listed_at, page

pytestmark = pytest.mark.django_db


def publish(*, ago: timedelta = timedelta()) -> UUID:
    """Store a message that was published so long ago, with a delivery; return its id."""
    at = timezone.now() - ago
    id_ = UUID(int=lowest_id(at).int + uuid4().int % 2**64)
    OutboxMessage.objects.create(
        id=id_, type="orders.order_placed", version=1, key="K", payload="{}", correlation_id=id_, published_at=at
    )
    Delivery.objects.create(message_id=id_, subscriber="orders.confirm_order", key="K", due_at=at)
    return id_


class TestLongList:
    def test_counts_its_first_rows_and_has_no_navigation_by_date(self, admin_client, monkeypatch):
        monkeypatch.setattr(admin, "MOST_PAGED", 3)
        for _ in range(4):
            publish()

        response = admin_client.get(page(OutboxMessage))

        assert "3+ outbox messages" in response.content.decode()
        assert response.context["cl"].date_hierarchy is None

    def test_of_fewer_rows_has_their_number_and_navigation_by_date(self, admin_client, monkeypatch):
        monkeypatch.setattr(admin, "MOST_PAGED", 3)
        for _ in range(3):
            publish()

        response = admin_client.get(page(OutboxMessage))

        assert "3 outbox messages" in response.content.decode()
        assert response.context["cl"].date_hierarchy == "published_at"


class TestRecentFilter:
    def test_lists_what_was_created_since(self, admin_client):
        new, old = publish(), publish(ago=timedelta(days=2))

        assert listed_at(admin_client, page(OutboxMessage) + "?days=1") == {new}
        assert listed_at(admin_client, page(OutboxMessage) + "?days=7") == {new, old}
        of_new = set(Delivery.objects.filter(message=new).values_list("pk", flat=True))
        assert listed_at(admin_client, page(Delivery) + "?days=1") == of_new

    @pytest.mark.parametrize("days", ["", "0", "-1", "much", "9" * 50, "%00"])
    def test_leaves_out_nothing_for_another_value(self, admin_client, days):
        publish(ago=timedelta(days=2))

        response = admin_client.get(page(OutboxMessage) + f"?days={days}")

        assert response.status_code in {200, 302, 400}
        assert response.status_code != 200 or response.context["cl"].result_count == 1
