"""
Errors as problem details (RFC 9457).

Code that rejects a request raises an exception of Django REST framework with a code of `shop.http.error_codes`, or with
a dict of them by field. This module describes it; `shop.http.error_handlers` makes it a response.
"""

from collections.abc import Iterator
from typing import Any, Literal

from django.utils.translation import gettext, ngettext
from rest_framework.exceptions import APIException, ErrorDetail
from rest_framework.settings import api_settings

from shop.http import request_id
from shop.http.error_codes import BY_STATUS, CATALOGUE, resolve
from shop.http.exceptions import InvalidHeader

CONTENT_TYPE = "application/problem+json"
MAX_ERRORS = 100
# Codes for which the advice of the catalogue says more than the detail of Django REST framework.
GENERIC_DETAILS = {"not_found", "not_authenticated", "unsupported_media_type"}

ProblemDetails = dict[str, Any]
Place = Literal["pointer", "parameter", "header"]


def problem(code: str, detail: str = "", *, status: int | None = None) -> ProblemDetails:
    """
    Return the problem details of an error code, in the current language.

    :param detail: what is wrong with this request; by default the advice of the catalogue.
    """
    entry = CATALOGUE[code]
    return {
        "type": f"/problems/#{code}",
        "title": gettext(entry.title),
        "status": status or entry.status,
        "detail": gettext(entry.advice) if code in GENERIC_DETAILS or not detail else detail,
        "code": code,
        "request_id": request_id.current(),
    }


def describe(error: APIException, *, safe: bool = False) -> ProblemDetails:
    """
    Return the problem details of an exception, with each invalid value if it names them.

    :param safe: whether the method is safe: such a request has no body, so an invalid value is in its query.
    """
    status = error.status_code
    if not isinstance(error.detail, dict | list):
        return problem(_resolve(error.detail, default=_by_status(status)), str(error.detail), status=status)
    place: Place = "header" if isinstance(error, InvalidHeader) else "parameter" if safe else "pointer"
    errors = [_error(path, detail, place) for path, detail in _walk(error.detail)]
    if not errors:
        return problem(_by_status(status), status=status)
    detail = errors[0]["detail"]
    if others := len(errors) - 1:
        detail += " " + ngettext("And %(count)s more.", "And %(count)s more.", others) % {"count": others}
    return problem(errors[0]["code"], detail, status=status) | {"errors": errors[:MAX_ERRORS]}


def problem_by_status(status: int) -> ProblemDetails:
    """
    Return the problem details of an error that is known by its status only.
    """
    return problem(_by_status(status), status=status)


def _by_status(status: int) -> str:
    return BY_STATUS.get(status, "bad_request")


def _resolve(detail: object, *, default: str) -> str:
    return resolve(detail.code or "" if isinstance(detail, ErrorDetail) else "", default=default)


def _walk(detail: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], object]]:
    """
    Yield the details within a nested one, each with the path of its field.
    """
    if isinstance(detail, dict):
        for name, within in detail.items():
            yield from _walk(within, path if name == api_settings.NON_FIELD_ERRORS_KEY else (*path, str(name)))
    elif isinstance(detail, list):
        for index, within in enumerate(detail):
            yield from _walk(within, (*path, str(index)) if isinstance(within, dict | list) else path)
    else:
        yield path, detail


def _error(path: tuple[str, ...], detail: object, place: Place) -> dict[str, str]:
    code = _resolve(detail, default="invalid_parameter" if place == "parameter" else "invalid_field")
    where = "#" + "".join(f"/{name}" for name in path) if place == "pointer" else "/".join(path)
    return {"code": code, "detail": str(detail), place: where}
