"""
HTTP: the guards and error responses of the simulator, as a WSGI application around its routes.
"""

import json
import logging
import re
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from io import BufferedReader
from typing import Any

from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.routing import Map
from werkzeug.wrappers import Request, Response

from .charges import CommandRejected
from .ledger import LedgerClosed

logger = logging.getLogger(__name__)

MAX_BODY_BYTES = 65_536
CSP = "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
SAFETY = {"Content-Security-Policy": CSP, "Referrer-Policy": "same-origin", "X-Content-Type-Options": "nosniff"}
THIS_MACHINE = re.compile(r"localhost|127(\.\d+){3}|\[::1\]")
ANY_ADDRESS = re.compile(r"[^.]+|\d+(\.\d+){3}|\[[\da-f:]+\]")
"""An address, or a name without a dot, which cannot belong to another site."""


class ApiError(HTTPException):
    def __init__(self, status: int, error: str, detail: str = "", *, retry_after: int | None = None) -> None:
        response = json_response({"error": error} | ({"detail": detail} if detail else {}), status=status)
        response.retry_after = retry_after
        super().__init__(detail or error, response)


def json_response(body: object, *, status: int = 200) -> Response:
    return Response(json.dumps(body), status, mimetype="application/json")


def json_body(request: Request) -> dict[str, Any]:
    """
    Parse the body of a request, of which Werkzeug would silently truncate a long one without Content-Length.

    :raises ApiError: if it is too long or not a JSON object.
    """
    data = BufferedReader(request.stream).read(MAX_BODY_BYTES + 1)  # type: ignore[type-var]
    if len(data) > MAX_BODY_BYTES:
        raise ApiError(413, "body_too_large", f"A body has at most {MAX_BODY_BYTES} bytes.")
    try:
        body = json.loads(data)
    except (ValueError, RecursionError):
        raise ApiError(400, "malformed_json", "The body is not valid JSON.") from None
    if not isinstance(body, dict):
        raise ApiError(400, "invalid_request", "The body is not a JSON object.")
    return body


@dataclass(frozen=True)
class RequestCounts:
    """
    Requests to the API since the start, by the name of their endpoint.
    """

    numbers: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, endpoint: str) -> None:
        with self._lock:
            self.numbers[endpoint] += 1


@dataclass(frozen=True, kw_only=True)
class Application:
    routes: Map
    """Each endpoint is called with the request and the names in its path."""
    hosts: Collection[str]
    """The host names it is served at, besides those of this machine; 0.0.0.0 stands for any address."""
    wait: Callable[[], object]
    """Called before each request to the API."""
    counts: RequestCounts

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        response = self._response(Request(environ))
        response.headers.update(SAFETY)
        response.headers.setdefault("Cache-Control", "no-store")
        return response(environ, start_response)

    def _response(self, request: Request) -> Response:
        try:
            require_known_host(request, self.hosts)
            endpoint, names = self.routes.bind("").match(request.path, request.method)
            if request.method == "POST":
                require_same_origin(request)
            if request.path.startswith("/v1/"):
                self.counts.add(endpoint.__name__)
                self.wait()
            return endpoint(request, **names)  # type: ignore[no-any-return]
        except (HTTPException, CommandRejected) as error:
            return error_response(error)
        except (LedgerClosed, ConnectionAbortedError) as error:
            raise ConnectionAbortedError from error  # Werkzeug closes the connection without a response
        except Exception:
            logger.exception("%s %s failed.", request.method, request.path)
            return json_response({"error": "unexpected"}, status=500)


def error_response(error: HTTPException | CommandRejected) -> Response:
    if isinstance(error, CommandRejected):
        return json_response({"error": error.code, "detail": str(error)}, status=error.status)
    if isinstance(error.response, Response):
        return error.response
    response = json_response({"error": error.name.lower().replace(" ", "_")}, status=error.code or 400)
    if isinstance(error, MethodNotAllowed):
        response.allow.update(error.valid_methods or ())
    return response


def require_known_host(request: Request, hosts: Collection[str]) -> None:
    """
    Prevent DNS rebinding, by which another site could read these pages and use their forms.

    :raises ApiError: if the host is neither one of these nor this machine.
    """
    host = re.sub(r":\d*$", "", request.headers.get("Host", "").lower())
    allowed = ANY_ADDRESS if "0.0.0.0" in hosts else THIS_MACHINE  # noqa: S104 - it is compared
    if host not in hosts and not allowed.fullmatch(host):
        raise ApiError(421, "unknown_host", f"This server is not {host or 'a host without a name'}.")


def require_same_origin(request: Request) -> None:
    """
    Prevent cross-site request forgery.

    :raises ApiError: if a browser sends this from a page of another site.
    """
    origin, site = request.headers.get("Origin", ""), request.headers.get("Sec-Fetch-Site", "")
    is_ours = not origin or origin == f"http://{request.headers.get('Host', '')}"
    if not is_ours or site not in {"", "same-origin", "none"}:
        raise ApiError(403, "foreign_origin", "Requests from pages of other sites are rejected.")
