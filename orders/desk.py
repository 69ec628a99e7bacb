"""
What the operator's desk shows of orders: by state, and why they were lost.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

from django.db.models import Count, QuerySet

from messaging.kernel.ids import lowest_id
from shop.http.desk import (
    Bar,
    Bars,
    Chart,
    Item,
    Series,
    Tone,
    by_day,
    last_days,
    list_url,
    reports,
    rows_by_day,
    union,
)

from .models import Order

TONES: Mapping[str, Tone] = {
    Order.Status.CONFIRMED: "good",
    Order.Status.AWAITING_PAYMENT: "waiting",
    Order.Status.PLACED: "quiet",
    Order.Status.REFUNDED: "other",
    Order.Status.CANCELLED: "bad",
}

Numbers = Mapping[tuple[int, str, str], int]
"""Of orders, by the position of their day, their status and the reason why they were cancelled."""


@reports("orders.view_order")
def show_orders(now: datetime) -> Iterator[Item]:
    days = last_days(now)
    rows, age = rows_by_day("orders", days, partial(_rows_of_orders, days), day_at=0)
    numbers = {(day, status, reason): number for day, status, reason, number in rows}
    yield _today(days, numbers)
    yield replace(_two_weeks(days, numbers), note=age)
    yield replace(_losses(days[0], numbers), note=age)


def _rows_of_orders(days: Sequence[datetime], chosen: Sequence[int]) -> QuerySet[Any]:
    names = ("day", "status", "cancel_reason")
    parts = by_day(Order.objects.order_by(), days, chosen)
    return union([part.values_list(*names).annotate(number=Count("pk")) for part in parts])


def _today(days: Sequence[datetime], numbers: Numbers) -> Bars:
    midnight = days[-1]
    bars = [
        Bar(
            name=_words(status),
            value=_by_day(status, numbers, len(days))[-1],
            url=_orders_since(midnight, status__exact=status),
            tone=tone,
        )
        for status, tone in TONES.items()
    ]
    return Bars(title="Orders today", bars=bars, url=_orders_since(midnight), empty="No order was placed today.")


def _two_weeks(days: Sequence[datetime], numbers: Numbers) -> Chart:
    return Chart(
        title="Orders in two weeks",
        days=[day.date() for day in days],
        series=[
            Series(name=_words(status), tone=tone, values=_by_day(status, numbers, len(days)))
            for status, tone in TONES.items()
        ],
        url=_orders_since(days[0]),
        empty="No order was placed in the last two weeks.",
    )


def _by_day(status: str, numbers: Numbers, days: int) -> list[int]:
    by_day: Counter[int] = Counter()
    for (day, of_status, _), number in numbers.items():
        by_day[day] += number if of_status == status else 0
    return [by_day[day] for day in range(days)]


def _losses(since: datetime, numbers: Numbers) -> Bars:
    by_reason: Counter[str] = Counter()
    for (_, _, reason), number in numbers.items():
        by_reason[reason] += number if reason else 0
    bars = [
        Bar(name=_words(reason), value=number, url=_orders_since(since, cancel_reason__exact=reason), tone="bad")
        for reason, number in by_reason.most_common()
        if number
    ]
    url = _orders_since(since, status__exact=Order.Status.CANCELLED)
    empty = "No order of the last two weeks was cancelled."
    return Bars(title="Why orders of two weeks were lost", bars=bars, url=url, empty=empty)


def _orders_since(moment: datetime, **filters: str) -> str:
    return list_url("orders_order", id__gte=lowest_id(moment), **filters)


def _words(name: str) -> str:
    return str(name).replace("_", " ")
