"""Lists of the admin whose tables are large."""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from django.utils import timezone

from messaging.kernel import admin
from messaging.kernel.ids import lowest_id
from messaging.models import Attempt, Delivery, OutboxMessage
from payments.models import PaymentIntent
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


class TestFilterOfALongList:
    @pytest.fixture(autouse=True)
    def _short(self, monkeypatch):
        monkeypatch.setattr(admin, "MOST_READ", 2)

    @pytest.fixture
    def dead(self) -> int:
        """An old delivery that died, and three newer ones that wait; return its id."""
        publish(ago=timedelta(days=2))
        Delivery.objects.update(status="dead")
        for _ in range(3):
            publish()
        return Delivery.objects.get(status="dead").pk

    def test_looks_at_its_newest_rows_and_says_so(self, admin_client, dead):
        for query in ("?subscriber=orders.confirm_order", "?o=-4"):
            response = admin_client.get(page(Delivery) + query)

            assert response.context["cl"].result_count == 2
            assert "Only the newest 2 rows were looked at." in response.content.decode()

    def test_is_sorted_by_a_column_in_both_directions(self, admin_client, dead):
        messages = [publish(), publish()]
        OutboxMessage.objects.filter(pk=messages[0]).update(key="L")

        up, down = (list(admin_client.get(page(OutboxMessage) + f"?o={o}").context["cl"].result_list) for o in (2, -2))

        assert [message.pk for message in up] == messages[::-1]
        assert [message.pk for message in down] == messages

    def test_finds_old_rows_by_an_index(self, admin_client, dead):
        assert listed_at(admin_client, page(Delivery) + "?status__exact=dead") == {dead}
        waiting = set(Delivery.objects.exclude(pk=dead).values_list("pk", flat=True))
        assert listed_at(admin_client, page(Delivery) + "?status__exact=pending") == waiting

    def test_searches_old_rows_by_an_index_only(self, admin_client):
        order_ids = []
        for number in range(3):
            payment = PaymentIntent.objects.create(
                order_id=uuid4(), number=f"NUMBER-{number}", amount=100, currency="GBP", created_at=timezone.now()
            )
            order_ids.append(payment.order_id)

        found = [len(listed_at(admin_client, f"{page(PaymentIntent)}?q={order_id}")) for order_id in order_ids]
        recent = [len(listed_at(admin_client, f"{page(PaymentIntent)}?q=NUMBER-{number}")) for number in range(3)]

        assert (found, recent) == ([1, 1, 1], [0, 1, 1])

    def test_does_not_restrict_a_search(self, admin_client, dead):
        message = Delivery.objects.get(pk=dead).message_id

        assert listed_at(admin_client, page(Delivery) + f"?q={message}&subscriber=orders.confirm_order") == {dead}

    def test_searches_texts_among_its_newest_rows(self, admin_client, dead):
        for number in range(4):
            fields = {"failed_at": timezone.now(), "error_class": "ValueError", "error": "no stock", "traceback": ""}
            Attempt.objects.create(delivery_id=dead, number=number, **fields)

        assert len(listed_at(admin_client, page(Attempt) + "?q=stock")) == 2

    def test_of_fewer_rows_looks_at_all(self, admin_client):
        publish()

        response = admin_client.get(page(Delivery) + "?status__exact=pending&o=-4")

        assert response.context["cl"].result_count == 1
        assert "Only the newest" not in response.content.decode()
