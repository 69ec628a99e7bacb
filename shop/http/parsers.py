"""
Request bodies, taken at their word: what two readers could understand differently is refused.
"""

import json
import math
from collections.abc import Mapping
from typing import Any, NoReturn

from django.conf import settings
from django.core.exceptions import TooManyFieldsSent
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpRequest
from rest_framework.authentication import SessionAuthentication
from rest_framework.exceptions import ParseError, UnsupportedMediaType
from rest_framework.parsers import FormParser, JSONParser

from shop.http.exceptions import BodyTooLarge

MAX_DEPTH = 16
MAX_DIGITS = 18


class PlainRequest(WSGIRequest):
    """
    A request in UTF-8, whatever charset its headers name. Django takes them at their word: it would read the address
    by a charset that no signature covers, or fail by one that nobody knows, before anybody could answer.
    """

    def __init__(self, environ: dict[str, Any]) -> None:
        for name in ("CONTENT_TYPE", "HTTP_ACCEPT"):
            # A parameter in a charset of its own (RFC 2231), which neither header has.
            if {"*", "'"} <= set(environ.get(name, "")):
                del environ[name]
        super().__init__(environ)

    @property
    def encoding(self) -> None:
        """
        Name no charset, which means UTF-8, whatever Django wants to set here.
        """

    @encoding.setter
    def encoding(self, charset: str) -> None: ...


class StrictJSONParser(JSONParser):
    """
    Read one JSON object in UTF-8, each key once, of no great depth, without characters that no text may have.
    """

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> dict[str, Any]:
        request = parser_context["request"]._request  # noqa: SLF001  (to DRF, */* is JSON)
        found = _decode(_text(raw_json(request, max_bytes=settings.MAX_BODY_BYTES)))
        if not isinstance(found, dict):
            raise ParseError("The body is JSON, but not an object.", code="not_an_object")
        _inspect(found, depth=1)
        return found


class SessionFormParser(FormParser):
    """
    Read a browser's form from a person who is logged in, as every such form carries a CSRF token; nobody else sends
    forms, for a foreign page can make any browser send one.
    """

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        request = parser_context["request"]
        if not isinstance(request.successful_authenticator, SessionAuthentication):
            raise UnsupportedMediaType(media_type or "")
        refuse_encodings(request._request)  # noqa: SLF001  (DRF does not read the charset)
        return super().parse(stream, media_type, parser_context)


def refused_body(request: HttpRequest) -> str:
    """
    Tell by its code what is wrong with a body before a byte of it is read; nothing, if there is nothing.
    """
    length = request.META.get("CONTENT_LENGTH", "")
    if "HTTP_TRANSFER_ENCODING" in request.META or (_has_a_body(request) and not length):
        return "length_required"
    if length and not (length.isascii() and length.isdecimal()):
        return "bad_request"
    limit = settings.MAX_BODY_BYTES if request.path.startswith("/api/") else settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    return "body_too_large" if _exceeds(length, limit) else ""


def refused_query(request: HttpRequest) -> str:
    """
    Tell by its code what is wrong with a query, before anybody stumbles over it; nothing, if there is nothing.
    """
    try:
        _ = request.GET
    except TooManyFieldsSent:
        return "bad_request"
    return ""


def forget_unreadable_cookies(request: HttpRequest) -> None:
    """
    Forget cookies that no page of ours set, as they have a NUL, over which PostgreSQL would stumble.
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
        raise BodyTooLarge(f"The body has more than {max_bytes} bytes.")
    return request.body


def refuse_encodings(request: HttpRequest) -> None:
    """
    Reject a body in another charset than UTF-8, or a compressed one: a small one can become very large.

    :raises UnsupportedMediaType: if it is.
    """
    media_type = request.content_type or ""
    charset = (request.content_params or {}).get("charset", "utf-8")
    if charset.lower() not in {"utf-8", "utf8"}:
        raise UnsupportedMediaType(media_type, "This charset is not read here.", code="unsupported_charset")
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        detail = "Compressed bodies are not read here."
        raise UnsupportedMediaType(media_type, detail, code="unsupported_encoding")


def _has_a_body(request: HttpRequest) -> bool:
    """
    Tell whether a request claims to have a body; some claim it of none where the server does not look.
    """
    told = request.META.get("CONTENT_TYPE") and request.META.get("wsgi.input_terminated")
    return bool(told) and request.method in {"POST", "PUT", "PATCH"}


def _exceeds(length: str, limit: int) -> bool:
    """
    Compare numbers by their digits, of which there may be more than `int` would read.
    """
    digits = length.lstrip("0")
    return (len(digits), digits) > (len(str(limit)), str(limit))


def _text(raw: bytes) -> str:
    if json.detect_encoding(raw) != "utf-8":
        raise ParseError("The body is not JSON in UTF-8 without a byte order mark.", code="malformed_json")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise ParseError(f"Byte {error.start} of the body is not UTF-8.", code="invalid_utf8") from None


def _decode(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_object, parse_int=_integer, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise ParseError(f"{error.msg} at character {error.pos}.", code="malformed_json") from None
    except RecursionError:
        raise _too_deep() from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ParseError("An object of the body has a key twice.", code="duplicate_key")
    return found


def _integer(digits: str) -> float:
    """
    Read an integer; what has no 64 bits, or is a negative zero, becomes a float, which nobody takes for one.
    """
    return int(digits) if len(digits) <= MAX_DIGITS and digits != "-0" else math.inf


def _refuse_constant(name: str) -> NoReturn:
    raise ParseError(f"{name} is not JSON.", code="malformed_json")


def _inspect(value: Any, *, depth: int) -> None:
    """
    Refuse great depth and bad characters anywhere within.
    """
    if isinstance(value, str):
        if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
            raise ParseError("A text has a NUL or half of a surrogate pair.", code="invalid_characters")
    elif isinstance(value, Mapping | list):
        if depth > MAX_DEPTH:
            raise _too_deep()
        for within in [*value, *value.values()] if isinstance(value, Mapping) else value:
            _inspect(within, depth=depth + 1)


def _too_deep() -> ParseError:
    return ParseError(f"The body is nested deeper than {MAX_DEPTH} levels.", code="too_deep")
