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
    @pytest.fixture(autouse=True)
    def _busy(self, monkeypatch):
        monkeypatch.setattr(desk, "FEW_ROWS", 0)

    def test_of_three_earlier_days_are_counted_by_a_visit_and_those_of_today_at_once(self, admin_client, days):
        for day in days:
            place("confirmed", at=day + timedelta(seconds=1))

        seen = [figures_of(admin_client)["Orders in two weeks"].chart for _ in range(5)]

        assert [sum(chart.series[0].values) for chart in seen] == [4, 7, 10, 13, 14]
        assert "are not counted yet: load the page again." in seen[3].note
        assert "not counted" not in seen[4].note
        place("confirmed", at=days[0] + timedelta(seconds=1))
        place("confirmed")
        figures = figures_of(admin_client)
        assert sum(figures["Orders in two weeks"].chart.series[0].values) == 15
        assert [bar.value for bar, _ in figures["Orders today"].bars][:1] == [2]

    def test_of_the_day_that_was_counted_first_are_counted_again_after_minutes(self, admin_client, days, monkeypatch):
        for _ in range(5):
            assert "Earlier days as of " in figures_of(admin_client)["Orders in two weeks"].chart.note
        monkeypatch.setattr(desk, "FRESH_SECONDS", 0)
        place("confirmed", at=days[-1] - timedelta(seconds=1))
        place("confirmed", at=days[0] + timedelta(seconds=1))

        [confirmed, *_] = figures_of(admin_client)["Orders in two weeks"].chart.series

        assert (confirmed.values[-2], confirmed.values[0]) == (1, 0)


class TestFewOrders:
    def test_of_two_weeks_are_counted_by_each_visit(self, admin_client, days):
        assert sum(figures_of(admin_client)["Orders in two weeks"].chart.series[0].values) == 0
        for day in (days[0], days[-2]):
            place("confirmed", at=day + timedelta(seconds=1))

        chart = figures_of(admin_client)["Orders in two weeks"].chart

        assert (chart.series[0].values[0], chart.series[0].values[-2], chart.note) == (1, 1, "")
