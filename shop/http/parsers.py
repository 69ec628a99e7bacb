"""
Strict parsing of request bodies: what two parsers could read differently is rejected.
"""

import json
import math
import re
from collections.abc import Mapping
from typing import Any, NoReturn

from django.conf import settings
from django.core.exceptions import TooManyFieldsSent
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpRequest
from django.utils.translation import gettext
from rest_framework.authentication import SessionAuthentication
from rest_framework.exceptions import ParseError, UnsupportedMediaType
from rest_framework.parsers import FormParser, JSONParser

from shop.http.exceptions import BodyTooLarge

MAX_DEPTH = 16
MAX_DIGITS = 18
INVALID_CHARACTERS = re.compile("[\0\ud800-\udfff]")


class PlainRequest(WSGIRequest):
    """
    A request in UTF-8, whatever charset its headers name. Django would decode the URL by that charset, which no
    signature covers, or fail on an unknown one before any middleware runs.
    """

    def __init__(self, environ: dict[str, Any]) -> None:
        for name in ("CONTENT_TYPE", "HTTP_ACCEPT"):
            # A parameter with a charset of its own (RFC 2231), which neither header allows.
            if {"*", "'"} <= set(environ.get(name, "")):
                del environ[name]
        super().__init__(environ)

    @property
    def encoding(self) -> None:
        """
        None, which means UTF-8; Django's assignments are ignored.
        """

    @encoding.setter
    def encoding(self, charset: str) -> None: ...


class StrictJSONParser(JSONParser):
    """
    Parse one JSON object in UTF-8, with unique keys, of limited depth, without NUL and unpaired surrogates.
    """

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> dict[str, Any]:
        request = parser_context["request"]._request  # noqa: SLF001  (to DRF, */* is JSON)
        body = _decode(_text(raw_json(request, max_bytes=settings.MAX_BODY_BYTES)))
        if not isinstance(body, dict):
            raise ParseError(gettext("The body is JSON, but not an object."), code="not_an_object")
        _check(body, depth=1)
        return body


class SessionFormParser(FormParser):
    """
    Parse a form of a session, whose CSRF token is verified. Other forms are rejected: any page can make a browser send
    one.
    """

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        request = parser_context["request"]
        if not isinstance(request.successful_authenticator, SessionAuthentication):
            raise UnsupportedMediaType(media_type or "")
        refuse_encodings(request._request)  # noqa: SLF001  (DRF does not read the charset)
        return super().parse(stream, media_type, parser_context)


def rejected_body(request: HttpRequest) -> str:
    """
    Return the error code of a body that is rejected unread, by its headers; empty if it may be read.
    """
    length = request.META.get("CONTENT_LENGTH", "")
    if "HTTP_TRANSFER_ENCODING" in request.META or (_has_body(request) and not length):
        return "length_required"
    if length and not (length.isascii() and length.isdecimal()):
        return "bad_request"
    return "body_too_large" if _exceeds(length, _limit_of(request)) else ""


def rejected_query(request: HttpRequest) -> str:
    """
    Return the error code of a query with too many parameters; empty if it can be read.
    """
    try:
        _ = request.GET
    except TooManyFieldsSent:
        return "bad_request"
    return ""


def drop_invalid_cookies(request: HttpRequest) -> None:
    """
    Drop cookies with a NUL, which the shop never sets and PostgreSQL rejects.
    """
    request.COOKIES = {name: value for name, value in request.COOKIES.items() if "\0" not in value}


def raw_json(request: HttpRequest, *, max_bytes: int) -> bytes:
    """
    Return the bytes of a JSON body as they were sent.

    :raises UnsupportedMediaType: if the body has another media type, another charset than UTF-8, or is compressed.
    :raises BodyTooLarge: if it has more than `max_bytes` bytes.
    """
    if request.content_type != "application/json":
        raise UnsupportedMediaType(request.content_type or "")
    refuse_encodings(request)
    if len(request.body) > max_bytes:
        raise BodyTooLarge(gettext("The body has more than %(most)s bytes.") % {"most": max_bytes})
    return request.body


def refuse_encodings(request: HttpRequest) -> None:
    """
    Reject other charsets than UTF-8, and compression: a small body can become very large.

    :raises UnsupportedMediaType: if the body has one of them.
    """
    media_type = request.content_type or ""
    charset = (request.content_params or {}).get("charset", "utf-8")
    if charset.lower() not in {"utf-8", "utf8"}:
        raise UnsupportedMediaType(media_type, gettext("Only UTF-8 is supported."), code="unsupported_charset")
    if request.META.get("HTTP_CONTENT_ENCODING", "identity").lower() != "identity":
        detail = gettext("Compressed bodies are not supported.")
        raise UnsupportedMediaType(media_type, detail, code="unsupported_encoding")


def _has_body(request: HttpRequest) -> bool:
    """
    Return whether the headers announce a body; without a length this counts only if the server marks its end.
    """
    is_announced = request.META.get("CONTENT_TYPE") and request.META.get("wsgi.input_terminated")
    return bool(is_announced) and request.method in {"POST", "PUT", "PATCH"}


def _limit_of(request: HttpRequest) -> int:
    """
    Return the maximum size of a body in bytes.
    """
    if not request.path.startswith("/api/"):
        return int(settings.DATA_UPLOAD_MAX_MEMORY_SIZE)
    return int(settings.MAX_BODY_BYTES_BY_PATH.get(request.path, settings.MAX_BODY_BYTES))


def _exceeds(length: str, limit: int) -> bool:
    """
    Return whether a number exceeds the limit, compared by digits: there may be more than `int` converts.
    """
    digits = length.lstrip("0")
    return (len(digits), digits) > (len(str(limit)), str(limit))


def _text(raw: bytes) -> str:
    if json.detect_encoding(raw) != "utf-8":
        detail = gettext("The body is not JSON in UTF-8 without a byte order mark.")
        raise ParseError(detail, code="malformed_json")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        detail = gettext("Byte %(position)s of the body is not UTF-8.") % {"position": error.start}
        raise ParseError(detail, code="invalid_utf8") from None


def _decode(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_object, parse_int=_integer, parse_constant=_reject_constant)
    except json.JSONDecodeError as error:
        detail = gettext("%(message)s at character %(position)s.") % {"message": error.msg, "position": error.pos}
        raise ParseError(detail, code="malformed_json") from None
    except RecursionError:
        raise _too_deep() from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ParseError(gettext("An object of the body has a duplicate key."), code="duplicate_key")
    return members


def _integer(digits: str) -> float:
    """
    Return an integer of 64 bits; a longer one, or negative zero, becomes a float, which no field accepts.
    """
    return int(digits) if len(digits) <= MAX_DIGITS and digits != "-0" else math.inf


def _reject_constant(name: str) -> NoReturn:
    raise ParseError(gettext("%(name)s is not JSON.") % {"name": name}, code="malformed_json")


def _check(value: Any, *, depth: int) -> None:
    """
    Reject deep nesting and invalid characters anywhere in the value.
    """
    if isinstance(value, str):
        if INVALID_CHARACTERS.search(value):
            raise ParseError(gettext("A string has a NUL or an unpaired surrogate."), code="invalid_characters")
    elif isinstance(value, Mapping | list):
        if depth > MAX_DEPTH:
            raise _too_deep()
        for within in [*value, *value.values()] if isinstance(value, Mapping) else value:
            _check(within, depth=depth + 1)


def _too_deep() -> ParseError:
    detail = gettext("The body is nested deeper than %(most)s levels.") % {"most": MAX_DEPTH}
    return ParseError(detail, code="too_deep")
