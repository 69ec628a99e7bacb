"""
Exports of lists of the admin as CSV, of any length: they are streamed, and read in chunks of one statement each.
"""

import csv
import logging
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase, HttpResponseNotAllowed, StreamingHttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path

logger = logging.getLogger(__name__)

CHUNK = 1_000
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""Spreadsheets execute a cell that begins so, as customers may have typed it."""


class CsvExport:
    """
    Mixin for an admin whose list has a link that exports what its filters and search choose. It needs a permission of
    its own, such as "orders.export_order", besides that to view the list: a file of all customers leaves the shop.
    """

    change_list_template = "admin/export_list.html"
    exported: Mapping[str, Callable[[Any], object]]
    """The columns: a value of each row. They read no other rows."""

    admin_site: Any
    opts: Any

    def get_urls(self) -> list[URLPattern]:
        export = self.admin_site.admin_view(self.export)
        name = f"{self.opts.app_label}_{self.opts.model_name}_export"
        return [path("export/", export, name=name), *super().get_urls()]  # type: ignore[misc]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """
        Return the class of the list. An export has all rows, where the page of a filtered list reads only the newest.
        """
        match = request.resolver_match
        is_export = bool(match and match.url_name and match.url_name.endswith("_export"))
        of_page: type[ChangeList] = super().get_changelist(request, **kwargs)  # type: ignore[misc]
        return ChangeList if is_export else of_page

    def rows_to_export(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        """
        Return the rows with what the columns need.
        """
        return rows

    def has_export_permission(self, request: HttpRequest) -> bool:
        may_export = request.user.has_perm(f"{self.opts.app_label}.export_{self.opts.model_name}")
        return may_export and self.has_view_permission(request)  # type: ignore[attr-defined]

    def changelist_view(self, request: HttpRequest, extra_context: Mapping[str, Any] | None = None) -> Any:
        may_export = {"may_export": self.has_export_permission(request)}
        return super().changelist_view(request, {**may_export, **(extra_context or {})})  # type: ignore[misc]

    def export(self, request: HttpRequest) -> HttpResponseBase:
        """
        Stream the rows of the list as CSV, newest first.
        """
        if not self.has_export_permission(request):
            raise PermissionDenied
        if request.method != "GET":
            return HttpResponseNotAllowed(["GET"])
        try:
            changelist = self.get_changelist_instance(request)  # type: ignore[attr-defined]
        except IncorrectLookupParameters:
            return redirect(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist")
        logger.info("%s exports %s.", request.user, self.opts.verbose_name_plural)
        rows = self.rows_to_export(changelist.queryset)
        return StreamingHttpResponse(
            _lines(rows, self.exported),
            content_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="{self.opts.model_name}.csv"'},
        )


def _lines(rows: QuerySet[Any], columns: Mapping[str, Callable[[Any], object]]) -> Iterator[str]:
    writer = csv.writer(_Echo())
    yield writer.writerow(columns)
    for row in _in_chunks(rows):
        yield writer.writerow([safe_cell(value(row)) for value in columns.values()])


def _in_chunks(rows: QuerySet[Any]) -> Iterator[Any]:
    """
    Yield the rows, newest first. No cursor or transaction stays open while a slow client reads.
    """
    rows = rows.order_by("-pk")
    chunk = list(rows[:CHUNK])
    while chunk:
        yield from chunk
        chunk = list(rows.filter(pk__lt=chunk[-1].pk)[:CHUNK]) if len(chunk) == CHUNK else []


def safe_cell(value: object) -> str:
    """
    Return a value as a cell that no spreadsheet executes.
    """
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    text = "" if value is None else str(value)
    is_number = isinstance(value, int | Decimal)
    return f"'{text}" if text.startswith(FORMULA) and not is_number else text


class _Echo:
    """
    A file of which `csv` returns what it writes.
    """

    def write(self, line: str) -> str:
        return line
