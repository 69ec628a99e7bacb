"""
Pages of every list of the API.
"""

from typing import Any

from django.core.exceptions import ValidationError as Unfit
from django.db.models import QuerySet
from rest_framework.exceptions import ErrorDetail, NotFound, ValidationError
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.request import Request


class Pages(CursorPagination):
    """
    Pages that need no count of all rows, and stay put while new ones come in: the newest first, or by the unique field
    that the view names as `ordering`.
    """

    ordering = "-id"

    def get_ordering(self, request: Request, queryset: QuerySet[Any], view: Any) -> tuple[str, ...]:
        ordering = getattr(view, "ordering", self.ordering)
        self.field = queryset.model._meta.get_field(ordering.lstrip("-"))
        return (ordering,)

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        page = {"type": ["string", "null"], "format": "uri"}
        properties = {"next": page, "previous": page, "results": schema}
        return {"type": "object", "required": list(properties), "properties": properties}

    def decode_cursor(self, request: Request) -> Cursor | None:
        """
        Read where a page begins, unless no row can be there: what the field cannot hold, a database may choke on.
        """
        try:
            cursor = super().decode_cursor(request)
            if cursor and cursor.position is not None:
                self.field.formfield().clean(cursor.position)
        except (NotFound, Unfit):
            unknown = ErrorDetail("Follow `next` and `previous`: this is no cursor of theirs.", "invalid_parameter")
            raise ValidationError({self.cursor_query_param: [unknown]}) from None
        return cursor
