"""
Filtering of lists by query parameters.
"""

from collections.abc import Iterator
from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.request import Request
from rest_framework.settings import api_settings


class StrictFilters(DjangoFilterBackend):
    """
    Filter a list by the parameters of the view's filters, and reject others: a misspelled filter would return every row
    as if each matched.
    """

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: Any) -> QuerySet[Any]:
        if view.operation not in {"list", "get"}:
            return queryset
        if errors := dict(self._errors(request, queryset, view)):
            raise ValidationError(errors)
        filtered: QuerySet[Any] = super().filter_queryset(request, queryset, view)
        return filtered

    def _errors(self, request: Request, queryset: QuerySet[Any], view: Any) -> Iterator[tuple[str, list[ErrorDetail]]]:
        filters = self.get_filterset_class(view, queryset)
        allowed = {*(filters.base_filters if filters else ()), view.paginator.cursor_query_param}
        extra = view.extra_parameters
        for name, values in request.query_params.lists():
            if not (name in allowed or name == api_settings.URL_FORMAT_OVERRIDE or (extra and extra.fullmatch(name))):
                names = {"names": ", ".join(sorted(allowed))}
                detail = gettext("Unknown parameter. Known parameters: %(names)s.") % names
            elif len(values) > 1:
                detail = gettext("Send this parameter once.")
            else:
                continue
            yield name, [ErrorDetail(detail, code="invalid_parameter")]
