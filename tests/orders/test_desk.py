"""What the home page of the admin shows of orders."""

from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest
from django.utils import timezone

from messaging.kernel.ids import lowest_id
from messaging.kernel.order_numbers import new_number
from orders.models import Order
from shop.http import desk
from shop.http.desk import DAYS, last_days
from tests.factories import CustomerFactory
from tests.operators import figures_of, listed_at

pytestmark = pytest.mark.django_db


def place(status: str, *, at: datetime | None = None, reason: str = "") -> Order:
    """Store an order that was placed at this moment, now by default."""
    at = at or timezone.now()
    return Order.objects.create(
        id=UUID(int=lowest_id(at).int + uuid4().int % 2**64),
        number=new_number(),
        customer=CustomerFactory(),
        idempotency_key=uuid4().hex,
        status=status,
        cancel_reason=reason,
        currency="GBP",
        total=4_500,
        placed_at=at,
    )


@pytest.fixture
def days() -> list[datetime]:
    return last_days(timezone.now())


class TestToday:
    def test_counts_the_orders_of_today_by_state_and_links_to_them(self, admin_client, days):
        confirmed = {place("confirmed").pk, place("confirmed").pk}
        cancelled = {place("cancelled", reason="expired").pk}
        place("confirmed", at=days[-1] - timedelta(seconds=1))

        bars = {bar.name: bar for bar, _ in figures_of(admin_client)["Orders today"].bars}

        assert {name: bar.value for name, bar in bars.items()} == {
            "confirmed": 2,
            "awaiting payment": 0,
            "placed": 0,
            "refunded": 0,
            "cancelled": 1,
        }
        assert listed_at(admin_client, bars["confirmed"].url) == confirmed
        assert listed_at(admin_client, bars["cancelled"].url) == cancelled

    def test_is_empty_without_an_order(self, admin_client, days):
        place("confirmed", at=days[-1] - timedelta(seconds=1))

        assert figures_of(admin_client)["Orders today"].bars == []


class TestTwoWeeks:
    def test_count_orders_by_day_and_state(self, admin_client, days):
        place("confirmed", at=days[0])
        place("confirmed", at=days[0] - timedelta(seconds=1))
        place("confirmed", at=days[1] - timedelta(seconds=1))
        place("cancelled", at=days[1], reason="out_of_stock")
        place("placed")

        chart = figures_of(admin_client)["Orders in two weeks"].chart

        by_name = {series.name: list(series.values) for series in chart.series}
        assert by_name["confirmed"] == [2] + [0] * (DAYS - 1)
        assert by_name["cancelled"] == [0, 1] + [0] * (DAYS - 2)
        assert by_name["placed"] == [0] * (DAYS - 1) + [1]
        assert len(listed_at(admin_client, chart.url)) == 4

    def test_count_why_orders_were_lost(self, admin_client, days):
        expired = {place("cancelled", at=days[3], reason="expired").pk, place("cancelled", reason="expired").pk}
        place("cancelled", reason="by_customer")
        place("cancelled", at=days[0] - timedelta(days=1), reason="expired")

        bars = [bar for bar, _ in figures_of(admin_client)["Why orders of two weeks were lost"].bars]

        assert [(bar.name, bar.value) for bar in bars] == [("expired", 2), ("by customer", 1)]
        assert listed_at(admin_client, bars[0].url) == expired


class TestManyOrders:
    def test_of_earlier_days_are_counted_every_few_minutes_and_those_of_today_at_once(
        self, admin_client, days, monkeypatch
    ):
        monkeypatch.setattr(desk, "KEPT_FROM", 1)
        yesterday = days[-1] - timedelta(seconds=1)
        place("confirmed", at=yesterday)
        assert figures_of(admin_client)["Orders in two weeks"].chart.note == ""
        place("confirmed", at=yesterday)
        place("confirmed")

        figures = figures_of(admin_client)

        [confirmed, *_] = figures["Orders in two weeks"].chart.series
        assert confirmed.values[-2:] == [1, 1]
        assert figures["Orders in two weeks"].chart.note.startswith("Earlier days as of ")
        assert [bar.value for bar, _ in figures["Orders today"].bars][:1] == [1]
        assert "Earlier days as of " in admin_client.get("/admin/").content.decode()
