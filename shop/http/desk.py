"""
What the operator's desk shows of each context: what needs a person now, and figures. A context reports them in its
`desk.py`; the desk (`shop.desk`) asks for those that its user may see.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Literal

from django.core.cache import cache
from django.db import connection
from django.db.models import IntegerField, QuerySet, Value
from django.urls import reverse
from django.utils import timezone
from django.utils.timezone import localtime

from messaging.kernel.ids import lowest_id

from .throttling import from_cache

LIMIT = 1000
"""Rows are counted up to this number: "1000+" is more."""

DAYS = 14

FEW_ROWS, FRESH_SECONDS, KEPT_SECONDS = 20_000, 300, 86_400
"""From so many rows, sums of earlier days are kept. Those that are not fresh are read again, a day a visit."""

DAYS_AT_ONCE = 3
"""So many earlier days are read by a visit at most: a busy shop's rows of two weeks take half a second to count."""

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
    covered_by: str = ""
    """The title of a concern about the same rows: who is shown that is not shown this one."""

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
    granted = [report for permissions, report in _reports if any(map(user.has_perm, permissions))]
    items = [item for report in granted for item in report(now) if _may_see(user, item)]
    titles = {item.title for item in items if isinstance(item, Concern)}
    return (item for item in items if not isinstance(item, Concern) or item.covered_by not in titles)


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
    name: str, days: Sequence[datetime], read: Callable[[Sequence[int]], Iterable[Row]], *, day_at: int
) -> tuple[list[Row], str]:
    """
    Return rows of sums by day, and what of them is not of now, in sentences; empty if all are.

    :param name: of these rows in the cache.
    :param read: returns rows of days, by their positions; the last value of each is how many rows it sums up.
    :param day_at: where each has the position of its day.
    """
    key = f"desk.days.{name}.{days[0]:%Y-%m-%d}"
    kept: dict[int, tuple[datetime, list[Row]]] | None = from_cache(lambda: cache.get(key), otherwise=None)
    if kept == {}:
        return list(read(range(len(days)))), ""
    today = len(days) - 1
    chosen = _days_to_read(kept or {}, today)
    rows = list(read([*chosen, today]))
    if kept is None and sum(row[-1] for row in rows) < FEW_ROWS:
        _keep(key, {}, FRESH_SECONDS)
        return [*rows, *read(range(chosen[-1]))], ""
    read_now = {day: (timezone.now(), [row for row in rows if row[day_at] == day]) for day in chosen}
    kept = {**(kept or {}), **read_now}
    _keep(key, kept, KEPT_SECONDS)
    of_today = [row for row in rows if row[day_at] == today]
    return [*of_today, *(row for _, of_day in kept.values() for row in of_day)], _age(kept, days)


def _days_to_read(kept: Mapping[int, tuple[datetime, list[Row]]], number: int) -> list[int]:
    missing = [day for day in reversed(range(number)) if day not in kept]
    if missing:
        return missing[:DAYS_AT_ONCE]
    oldest = min(kept, key=lambda day: kept[day][0])
    is_fresh = kept[oldest][0] > timezone.now() - timedelta(seconds=FRESH_SECONDS)
    return [] if is_fresh else [oldest]


def _keep(key: str, kept: Mapping[int, tuple[datetime, list[Row]]], seconds: int) -> None:
    """
    Keep rows by the position of their day; none if there are so few that they are read each time.
    """
    from_cache(lambda: cache.set(key, kept, seconds), otherwise=None)


def _age(kept: Mapping[int, tuple[datetime, list[Row]]], days: Sequence[datetime]) -> str:
    first = min(kept)
    uncounted = f" Days before {days[first]:%d %b} are not counted yet: load the page again." if first else ""
    return f"Earlier days as of {localtime(min(at for at, _ in kept.values())):%H:%M}.{uncounted}"


def by_day(rows: QuerySet[Any], days: Sequence[datetime], chosen: Iterable[int]) -> Iterator[QuerySet[Any]]:
    """
    Yield the rows of each chosen day, by its position, which is their `day`. Their ids are UUIDv7.
    """
    for day in chosen:
        recent = rows.filter(pk__gte=lowest_id(days[day])).annotate(day=Value(day, IntegerField()))
        yield recent.filter(pk__lt=lowest_id(days[day + 1])) if day + 1 < len(days) else recent


def union(parts: Sequence[QuerySet[Any]]) -> QuerySet[Any]:
    """
    Return all rows of these parts, by one statement. PostgreSQL reads only their rows, unlike for a condition with OR.
    """
    return parts[0].union(*parts[1:], all=True)
