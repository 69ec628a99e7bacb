"""What the home page says of deliveries and workers."""

from datetime import timedelta

import pytest
from django.utils import timezone

from messaging.kernel.ids import new_id
from messaging.models import Delivery, OperatorPause, OutboxMessage, SubscriberPause, Worker
from shop.desk import outbox
from tests.operators import concerns_of, figures_of, listed_at

pytestmark = pytest.mark.django_db

CONFIRM, SEND = "orders.confirm_order", "notifications.send_email"


def deliver(subscriber: str = CONFIRM, *, due_in: timedelta = timedelta(), **fields: object) -> Delivery:
    """Store a delivery that is due now, or with these fields."""
    now = timezone.now()
    id_ = new_id()
    message = OutboxMessage.objects.create(
        id=id_, type="orders.order_placed", version=1, key="K", payload="{}", correlation_id=id_, published_at=now
    )
    return Delivery.objects.create(
        message=message, subscriber=subscriber, key="K", due_at=now + due_in, **{"status": "pending"} | fields
    )


def die(subscriber: str = CONFIRM, error: str = "ValueError") -> Delivery:
    return deliver(subscriber, status="dead", error_class=error)


class TestDeadLetters:
    def test_are_counted_by_cause_and_link_to_it(self, admin_client):
        for subscriber, error in [(CONFIRM, "ValueError"), (CONFIRM, "ValueError"), (CONFIRM, "KeyError")]:
            die(subscriber, error)
        die(SEND)
        deliver(status="discarded", error_class="ValueError")

        concerns = {title: concern for title, concern in concerns_of(admin_client).items() if "Dead" in title}

        counts = {title: concern.count for title, concern in concerns.items()}
        assert counts == {
            f"Dead letters of {CONFIRM}: ValueError": 2,
            f"Dead letters of {CONFIRM}: KeyError": 1,
            f"Dead letters of {SEND}: ValueError": 1,
        }
        listed = {title: admin_client.get(concern.url).context["count"] for title, concern in concerns.items()}
        assert listed == {title: str(count) for title, count in counts.items()}

    def test_of_a_subscriber_that_is_no_more_are_listed_too(self, admin_client):
        die("orders.removed")

        concern = concerns_of(admin_client)["Dead letters of orders.removed: ValueError"]

        assert admin_client.get(concern.url).context["count"] == "1"

    def test_are_counted_in_all_if_their_causes_are_too_many(self, admin_client):
        for number in range(outbox.CAUSES + 1):
            die(error=f"Error{number}")

        concerns = concerns_of(admin_client)

        of_all = concerns["Dead letters of all causes"]
        assert of_all.count == outbox.CAUSES + 1
        assert len(admin_client.get(of_all.url).context["groups"]) == outbox.CAUSES + 1
        assert len([title for title in concerns if title.startswith("Dead letters of orders")]) == outbox.CAUSES

    def test_have_the_advice_for_their_error(self, admin_client):
        die(error="WorkerDied")

        concern = concerns_of(admin_client)[f"Dead letters of {CONFIRM}: WorkerDied"]

        assert concern.advice.startswith("Every worker that claimed the delivery died.")


class TestOverdueDeliveries:
    def test_have_been_due_for_more_than_a_minute(self, admin_client):
        late = deliver(due_in=timedelta(minutes=-2))
        deliver()
        deliver(due_in=timedelta(hours=1))
        deliver(status="delivered", due_in=timedelta(hours=-1), delivered_at=timezone.now())

        concern = concerns_of(admin_client)["Deliveries that have been due for more than a minute"]

        assert concern.count == 1
        assert listed_at(admin_client, concern.url) == {late.pk}


class TestWorkers:
    def test_are_missing_if_none_is_registered(self, admin_client):
        concern = concerns_of(admin_client)["Workers that run"]

        assert (concern.shown, concern.is_urgent) == ("0", True)
        assert listed_at(admin_client, concern.url) == set()

    def test_that_died_are_listed(self, admin_client):
        dead = Worker.objects.create(host="shop.example", process=4711, started_at=timezone.now())

        concern = concerns_of(admin_client)["Workers that died"]

        assert (concern.count, concern.is_urgent) == (1, True)
        assert listed_at(admin_client, concern.url) == {dead.number}


@pytest.mark.django_db(transaction=True)
class TestPauses:
    def test_need_a_person_while_they_last(self, admin_client, worker):
        waiting = deliver(SEND, due_in=timedelta(seconds=30), deferrals=1)
        until = timezone.now() + timedelta(minutes=1)
        SubscriberPause.objects.create(worker=worker, subscriber=SEND, until=until)

        concerns = concerns_of(admin_client)

        assert "Workers that run" not in concerns
        assert concerns[f"{SEND} is paused"].count == 1
        assert listed_at(admin_client, concerns[f"{SEND} is paused"].url) == {waiting.pk}


@pytest.mark.django_db
class TestPausesByOperators:
    def test_need_a_person_until_they_end(self, admin_client):
        waiting = deliver(SEND)
        OperatorPause.objects.create(subscriber=SEND, reason="a wrong text", paused_by="olga", paused_at=timezone.now())

        concern = concerns_of(admin_client)[f"{SEND} is paused"]

        assert concern.advice.startswith("By olga since ")
        assert concern.advice.endswith(": a wrong text")
        assert listed_at(admin_client, concern.url) == {waiting.pk}


class TestHealth:
    def test_lists_subscribers_with_deliveries_and_links_to_the_backlog(self, admin_client):
        deliver(due_in=timedelta(minutes=-3))
        deliver(due_in=timedelta(hours=1))
        die(SEND)

        table = figures_of(admin_client)["Outbox"].chart

        assert [row[1:] for row in table.rows] == [(1, "3 min", 0, 1, "0", 0), (0, "", 0, 0, "1", 0)]
        assert "The oldest has been due for 3 min." in table.lead
        assert admin_client.get(table.url).status_code == 200

    def test_says_that_nothing_is_due(self, admin_client):
        deliver(status="delivered", delivered_at=timezone.now())

        table = figures_of(admin_client)["Outbox"].chart

        assert "Delivered in the last minute: 1. Nothing is due." in table.lead
        assert table.rows == []
