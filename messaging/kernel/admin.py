"""
Parts of admin pages: read-only mixin, search by whole values, columns of money and time.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.views.main import ORDER_VAR, ChangeList
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db.models import BooleanField, ExpressionWrapper, Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.html import format_html

from .ids import lowest_id
from .money import money
from .order_numbers import InvalidNumber, mistake_in, parse_number

MOST_PAGED = 10_000
"""Lists count and show so many rows at most: counting a million takes longer than people wait for a page."""


MOST_READ = 20_000
"""A list is filtered and sorted among so many rows."""


MOST_FOUND = 1_000
"""A search for whole values finds so many rows at most."""


class AtLeast(int):
    """
    A number that pages show as "10,000+".
    """

    def __str__(self) -> str:
        return f"{int(self):,}+"


class BoundedPaginator(Paginator):
    """
    Pages of a list that end after `MOST_PAGED` rows. A search or a filter finds the others.
    """

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        counted: int = rows.order_by()[: MOST_PAGED + 1].count()
        return counted if counted <= MOST_PAGED else AtLeast(MOST_PAGED)


class BoundedChangeList(ChangeList):
    """
    A list that is filtered or sorted among its newest `MOST_READ` rows, and says so. Otherwise a value that few old
    rows have, or an order that no index has, would read the whole table. Searches by index (`searches_by_index`), and
    filters for which `indexed` names an index, are not bounded.
    """

    is_bounded = False
    """Whether there are older rows, which are not looked at."""

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request, exclude_parameters)
        is_filtered = self.get_filters_params() and not self._has_index()
        by_index = self.model_admin.searches_by_index  # type: ignore[attr-defined]
        if (self.query and by_index) or not (self.query or is_filtered or ORDER_VAR in self.params):
            return rows
        older = oldest_unread(self.root_queryset)
        if not older:
            return rows
        self.is_bounded = True
        older_ones = " A search finds older ones." if by_index else ""
        messages.info(request, f"Only the newest {MOST_READ:,} rows were looked at.{older_ones}")
        newest = Q(pk__gt=older)
        if ORDER_VAR in self.params:
            # True for all these rows. Otherwise PostgreSQL reads an index of the first column, and so the whole table,
            # to find a page of the newest rows without sorting them.
            order = ExpressionWrapper(newest, BooleanField())
            rows = rows.order_by(order, *rows.query.order_by)
        return rows.filter(newest)

    def _has_index(self) -> bool:
        indexed: Mapping[str, Collection[str]] = self.model_admin.indexed  # type: ignore[attr-defined]
        return any(value in indexed.get(name, ()) for name, values in self.filter_params.items() for value in values)


class ChoiceFilter(admin.SimpleListFilter):
    """
    Filter by names that the code defines: reading the names in use from a large table would scan it.
    """

    field: str
    names: Callable[[], Iterable[str]]

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return [(name, name) for name in sorted(type(self).names())]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(**{self.field: self.value()}) if self.value() else queryset


class RecentFilter(admin.SimpleListFilter):
    """
    Filter by when rows were created, by an index: their ids are UUIDv7.
    """

    title, parameter_name = "when", "days"
    id_field = "pk"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return [("1", "In 24 hours"), ("7", "In 7 days"), ("30", "In 30 days")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        days = self.value()
        if days not in dict(self.lookup_choices):
            return queryset
        return queryset.filter(**{f"{self.id_field}__gte": lowest_id(timezone.now() - timedelta(days=int(days)))})


class ReadOnly:
    """
    Mixin for pages on which rows cannot be added, changed or deleted. A long list has no navigation by date, which
    would read the whole table, or search the newest rows twice more.
    """

    paginator = BoundedPaginator
    list_per_page = 50  # to render a row takes a millisecond
    indexed: Mapping[str, Collection[str]] = {}
    """Values of filters, by parameter, whose rows an index finds however old they are."""
    searches_by_index = True

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return BoundedChangeList

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        changelist = super().get_changelist_instance(request)
        is_bounded = isinstance(changelist, BoundedChangeList) and changelist.is_bounded
        if is_bounded or isinstance(changelist.result_count, AtLeast):
            changelist.date_hierarchy = None
        return changelist

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class RowsToRead(ReadOnly, admin.TabularInline):
    """
    Rows on the page of the row that they belong to, as a table. With `show_change_link` each leads to its own page.
    """

    template = "admin/rows.html"


class WholeValueSearch:
    """
    Mixin that searches for whole values of the fields in `search_fields`: unlike Django's search for parts, it can use
    an index. Each field is searched for itself, since PostgreSQL reads a whole table for one condition about columns of
    several tables, or with one column that has no index.
    """

    search_fields: tuple[str, ...]
    unindexed: Collection[str] = ()
    """Fields whose values are found among the newest `MOST_READ` rows."""
    partly_indexed: Mapping[str, Q] = {}
    """Conditions of partial indexes by field: other rows are found among the newest."""

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        values = {field: self.value_of(field, term) for field in self.search_fields}
        matches = [self._matching(queryset, f, value) for f, value in values.items() if _may_equal(queryset, f, value)]
        return found_by_any(queryset, [rows for of_field in matches for rows in of_field]), False

    def _matching(self, queryset: QuerySet[Any], field: str, value: str) -> Iterator[QuerySet[Any]]:
        rows = queryset.filter(**{field: value})
        if field not in self.unindexed:
            yield rows.filter(self.partly_indexed.get(field, Q()))
        if field in self.unindexed or field in self.partly_indexed:
            older = oldest_unread(queryset.model.objects.all())
            yield rows.filter(pk__gt=older) if older else rows

    def value_of(self, field: str, term: str) -> str:
        """
        Return the value of a field that a search term means.
        """
        return term


class OrderNumberSearch(WholeValueSearch):
    """
    Mixin that also finds an order's number however a person writes it, and says so if it is mistyped.
    """

    message_user: Callable[..., None]

    def value_of(self, field: str, term: str) -> str:
        if field.endswith("number"):
            with suppress(InvalidNumber):
                return parse_number(term)
        return term

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        results, may_repeat = super().get_search_results(request, queryset, search_term)
        mistake = mistake_in(search_term)
        if mistake and not results.exists():
            self.message_user(request, mistake, messages.WARNING)
        return results, may_repeat


def oldest_unread(rows: QuerySet[Any]) -> Any:
    """
    Return the key of the newest row that is not among the newest `MOST_READ`; None if there is none.
    """
    return rows.order_by("-pk").values_list("pk", flat=True)[MOST_READ : MOST_READ + 1].first()


def amount(field: str, currency: Callable[[Any], str]) -> Callable[[Any], str]:
    """
    Return a column that shows the minor units in this field as money, such as "12.50 GBP".
    """

    @admin.display(description=field.replace("_", " "), ordering=field)
    def column(row: Any) -> str:
        return money(getattr(row, field), currency(row))

    return column


def moment(field: str) -> Callable[[Any], str | None]:
    """
    Return a column that shows this field's date and time to the second.
    """

    @admin.display(description=field.replace("_", " "), ordering=field)
    def column(row: Any) -> str | None:
        return to_the_second(getattr(row, field))

    return column


def found_by_any(queryset: QuerySet[Any], matches: Iterable[QuerySet[Any]]) -> QuerySet[Any]:
    """
    Return the rows of a list that any of these querysets has, of which `MOST_FOUND` are read, each by an index of its
    own.
    """
    ids = [rows.order_by().values_list("pk", flat=True) for rows in matches]
    if not ids:
        return queryset.none()
    return queryset.filter(pk__any=list(ids[0].union(*ids[1:], all=True)[:MOST_FOUND]))


def link_to_rows(model: str, about: object) -> str:
    """
    Return a link to the admin's search for a value among the rows of a model.

    :param model: such as "payments_paymentintent".
    """
    page = reverse(f"admin:{model}_changelist", query={"q": about})
    return format_html('<a href="{}">{}</a>', page, about)


def _may_equal(queryset: QuerySet[Any], field: str, term: str) -> bool:
    """
    Return whether this text can be a value of the field; not every text is a UUID.
    """
    try:
        queryset.filter(**{field: term})
    except ValidationError:
        return False
    return True


def to_the_second(when: datetime | None) -> str | None:
    return timezone.localtime(when).strftime("%Y-%m-%d %H:%M:%S") if when else None
