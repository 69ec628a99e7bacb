"""
Pagination of every list of the API.
"""

from typing import Any

from django.core.exceptions import ValidationError as InvalidValue
from django.db.models import QuerySet
from django.utils.translation import gettext
from rest_framework.exceptions import ErrorDetail, NotFound, ValidationError
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.request import Request


class ShopPagination(CursorPagination):
    """
    Pages by cursor: without a count of all rows, and stable while rows are added. Ordered by the view's `ordering`.
    """

    def get_ordering(self, request: Request, queryset: QuerySet[Any], view: Any) -> tuple[str, ...]:
        self.field = queryset.model._meta.get_field(view.ordering.lstrip("-"))
        return (view.ordering,)

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        page = {"type": ["string", "null"], "format": "uri"}
        properties = {"next": page, "previous": page, "results": schema}
        return {"type": "object", "required": list(properties), "properties": properties}

    def decode_cursor(self, request: Request) -> Cursor | None:
        """
        Return where the page begins.

        :raises ValidationError: if the cursor is malformed, or has a value that its field cannot hold: a database may
            fail on that.
        """
        try:
            cursor = super().decode_cursor(request)
            if cursor and cursor.position is not None:
                self.field.formfield().clean(cursor.position)
        except (NotFound, InvalidValue):
            detail = gettext("Invalid cursor: use `next` and `previous` as they are.")
            raise ValidationError({self.cursor_query_param: [ErrorDetail(detail, "invalid_parameter")]}) from None
        return cursor
