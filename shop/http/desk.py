"""
What the operator's desk shows of each context: what needs a person now, and figures. A context reports them in its
`desk.py`; the desk (`shop.desk`) asks for those that its user may see.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Literal

from django.core.cache import cache
from django.db import connection
from django.db.models import Case, IntegerField, QuerySet, Value, When
from django.urls import reverse
from django.utils.timezone import localtime

from messaging.kernel.ids import lowest_id

from .throttling import from_cache

LIMIT = 1000
"""Rows are counted up to this number: "1000+" is more."""

DAYS = 14

KEPT_FROM, KEPT_SECONDS = 20_000, 300
"""Numbers of so many rows are kept for so long, without those of today: to count the rows of two weeks takes long."""

Row = tuple[Any, ...]

Tone = Literal["good", "waiting", "bad", "other", "quiet"]


@dataclass(frozen=True, kw_only=True)
class Concern:
    """
    Rows that need a person.
    """

    title: str
    count: int
    """`LIMIT` + 1 stands for more than `LIMIT`."""
    url: str
    """Of the list in the admin that has exactly these rows."""
    permission: str
    """To see that list, such as "orders.view_order"."""
    advice: str
    """A sentence."""
    is_urgent: bool = True

    @property
    def shown(self) -> str:
        return f"{LIMIT}+" if self.count > LIMIT else str(self.count)


@dataclass(frozen=True, kw_only=True)
class Bar:
    name: str
    value: int
    url: str = ""
    tone: Tone = "other"


@dataclass(frozen=True, kw_only=True)
class Bars:
    """
    Numbers beside one another, one bar each.
    """

    title: str
    bars: Sequence[Bar]
    empty: str
    """A sentence in place of the bars if there is none, or if all are 0."""
    url: str = ""
    note: str = ""
    """A sentence, such as how old the numbers are."""


@dataclass(frozen=True, kw_only=True)
class Series:
    name: str
    values: Sequence[int]
    """One of each day."""
    tone: Tone
    is_below: bool = False
    """Whether it is drawn below the axis, such as money that was given back."""


@dataclass(frozen=True, kw_only=True)
class Chart:
    """
    Numbers by day.
    """

    title: str
    days: Sequence[date]
    series: Sequence[Series]
    empty: str
    url: str = ""
    note: str = ""
    """A sentence, such as how old the numbers are."""
    write: Callable[[int], str] = str
    """Returns a value as people read it."""


@dataclass(frozen=True, kw_only=True)
class Table:
    title: str
    lead: str
    """Sentences above the table."""
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    """The first cell of each names its row. Links are safe HTML."""
    url: str = ""


Figure = Bars | Chart | Table
Item = Concern | Figure
Report = Callable[[datetime], Iterable[Item]]

_reports: list[tuple[Sequence[str], Report]] = []


def reports(*permissions: str) -> Callable[[Report], Report]:
    """
    Register the decorated function, which returns what the desk shows of a context at a moment.

    :param permissions: such as "orders.view_order". Users who have one of them see the figures, and the concerns for
        which they have the permission.
    """

    def register(report: Report) -> Report:
        _reports.append((permissions, report))
        return report

    return register


def items_for(user: Any, now: datetime) -> Iterator[Item]:
    """
    Return everything that this user may see, in the order of registration.
    """
    for permissions, report in _reports:
        if any(user.has_perm(permission) for permission in permissions):
            yield from (item for item in report(now) if _may_see(user, item))


def _may_see(user: Any, item: Item) -> bool:
    return not isinstance(item, Concern) or user.has_perm(item.permission)


def list_url(model: str, **filters: object) -> str:
    """
    Return the URL of the admin's list of a model.

    :param model: its app and name, such as "app_model".
    :param filters: parameters of the list, such as `status__exact`.
    """
    return reverse(f"admin:{model}_changelist", query=filters or None)


def count_each(*querysets: QuerySet[Any]) -> list[int]:
    """
    Return the number of rows of each, `LIMIT` + 1 at most, by one statement.
    """
    parts = [queryset.order_by().values("pk")[: LIMIT + 1].query.sql_with_params() for queryset in querysets]
    counts = ", ".join(f"(SELECT COUNT(*) FROM ({sql}) part)" for sql, _ in parts)  # noqa: S608  (Django's own SQL)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {counts}", [parameter for _, parameters in parts for parameter in parameters])
        return list(cursor.fetchone())


def last_days(now: datetime) -> list[datetime]:
    """
    Return the beginnings of the last `DAYS` days, today's last, in the time zone of the admin.
    """
    today = localtime(now).replace(hour=0, minute=0, second=0, microsecond=0)
    return [today - timedelta(days=ago) for ago in reversed(range(DAYS))]


def rows_by_day(
    name: str, days: Sequence[datetime], read: Callable[[datetime], Iterable[Row]], *, day_at: int
) -> tuple[list[Row], str]:
    """
    Return rows of sums by day, and how old those of earlier days are, in a sentence; empty if all are of now.

    :param name: of these rows in the cache.
    :param read: returns rows since a moment by one statement; the last value of each is how many rows it sums up.
    :param day_at: where each has the position of its day.
    """
    key = f"desk.{name}.{days[0]:%Y-%m-%d}"
    if kept := from_cache(lambda: cache.get(key), otherwise=None):
        at, earlier = kept
        return [*earlier, *read(days[-1])], f"Earlier days as of {at}."
    rows = list(read(days[0]))
    if sum(row[-1] for row in rows) >= KEPT_FROM:
        earlier = [row for row in rows if row[day_at] < len(days) - 1]
        at = f"{localtime():%H:%M}"
        from_cache(lambda: cache.set(key, (at, earlier), KEPT_SECONDS), otherwise=None)
    return rows, ""


def day_of_id(days: Sequence[datetime]) -> Case:
    """
    Return an expression for the position of a row's day, by its id, a UUIDv7 that is not below the first day's.
    """
    ends = [When(pk__lt=lowest_id(end), then=Value(day)) for day, end in enumerate(days[1:])]
    return Case(*ends, default=Value(len(days) - 1), output_field=IntegerField())
