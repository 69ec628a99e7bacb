"""
What a list may be asked for.
"""

from collections.abc import Iterator
from typing import Any

from django.db.models import QuerySet
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.request import Request
from rest_framework.settings import api_settings


class StrictFilters(DjangoFilterBackend):
    """
    Filter a list by the parameters that it knows, and refuse others: whoever mistypes one would be shown everything
    and take it for what was asked for.

    A view that reads more than its filters names the rest by a pattern, `other_parameters`.
    """

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: Any) -> QuerySet[Any]:
        if getattr(view, "action", "list") != "list":
            return queryset
        if faults := dict(self._faults(request, queryset, view)):
            raise ValidationError(faults)
        return super().filter_queryset(request, queryset, view)

    def _faults(self, request: Request, queryset: QuerySet[Any], view: Any) -> Iterator[tuple[str, list[ErrorDetail]]]:
        filters = self.get_filterset_class(view, queryset)
        known = {*(filters.base_filters if filters else ()), view.paginator.cursor_query_param}
        others = getattr(view, "other_parameters", None)
        for name, values in request.query_params.lists():
            if not (name in known or name == api_settings.URL_FORMAT_OVERRIDE or (others and others.fullmatch(name))):
                detail = f"Nobody reads this parameter. There are {', '.join(sorted(known))}."
            elif len(values) > 1:
                detail = "Send this parameter once."
            else:
                continue
            yield name, [ErrorDetail(detail, code="invalid_parameter")]
