"""
What the admin pages of every context share: read-only pages, search by whole values, columns of money and time.
"""

from collections.abc import Callable
from datetime import datetime
from functools import reduce
from operator import or_
from typing import Any

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html

from .money import money


class ReadOnly:
    """
    Mix it in where nobody may add, change or delete by hand.
    """

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class WholeValueSearch:
    """
    Mix it in to find rows by the whole value of a field in `search_fields`: an index serves that, unlike a search for
    parts or for ids as text.
    """

    search_fields: tuple[str, ...]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        matches = [Q(**{field: term}) for field in self.search_fields if _may_equal(queryset, field, term)]
        return queryset.filter(reduce(or_, matches)) if matches else queryset.none(), False


def amount(field: str, currency: Callable[[Any], str]) -> Callable[[Any], str]:
    """
    Make a column of the minor units in this field as money that people read.
    """

    @admin.display(description=field.replace("_", " "), ordering=field)
    def column(row: Any) -> str:
        return money(getattr(row, field), currency(row))

    return column


def moment(field: str) -> Callable[[Any], str | None]:
    """
    Make a column of this field's date and time, short and to the second: much happens within a minute.
    """

    @admin.display(description=field.replace("_", " "), ordering=field)
    def column(row: Any) -> str | None:
        return to_the_second(getattr(row, field))

    return column


def link_to_rows(model: str, about: object) -> str:
    """
    Link to what a search for this finds among a model's rows, such as those of "payments_paymentintent".
    """
    page = reverse(f"admin:{model}_changelist", query={"q": about})
    return format_html('<a href="{}">{}</a>', page, about)


def _may_equal(queryset: QuerySet[Any], field: str, term: str) -> bool:
    """
    Tell whether this text can be a value of the field at all; not every text is a UUID.
    """
    try:
        queryset.filter(**{field: term})
    except ValidationError:
        return False
    return True


def to_the_second(when: datetime | None) -> str | None:
    return timezone.localtime(when).strftime("%Y-%m-%d %H:%M:%S") if when else None
