"""
HTTP: the routes, guards and error responses of the simulator, as a WSGI application.
"""

import json
import logging
import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any

from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound, RequestEntityTooLarge
from werkzeug.routing import Map
from werkzeug.wrappers import Request, Response

from .charges import KeyReused, NoSuchCharge, NoSuchRefund
from .ledger import LedgerClosed

logger = logging.getLogger(__name__)

MAX_BODY_BYTES = 65_536
SAFETY = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
ERRORS: dict[type[Exception], tuple[int, str, str]] = {
    KeyReused: (422, "idempotency_key_reused", "The key was used before with another amount or currency."),
    NoSuchCharge: (404, "no_such_charge", ""),
    NoSuchRefund: (404, "no_such_refund", ""),
    NotFound: (404, "not_found", ""),
    MethodNotAllowed: (405, "method_not_allowed", ""),
    RequestEntityTooLarge: (413, "body_too_large", f"A body has at most {MAX_BODY_BYTES} bytes."),
}
THIS_MACHINE = re.compile(r"localhost|127(\.\d+){3}|\[::1\]")
ANY_ADDRESS = re.compile(r"[^.]+|\d+(\.\d+){3}|\[[\da-f:]+\]")
"""An address, or a name without a dot, which cannot belong to another site."""


class ApiError(HTTPException):
    """
    The request is answered with this error, and has no other effect.
    """

    def __init__(self, status: int, error: str, detail: str = "", **headers: str) -> None:
        body = {"error": error} | ({"detail": detail} if detail else {})
        super().__init__(detail or error, json_response(body, status=status, **headers))


def json_response(body: object, *, status: int = 200, **headers: str) -> Response:
    """
    Underscores in the names of headers stand for hyphens.
    """
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(json.dumps(body), status, named, mimetype="application/json")


class SimulatorRequest(Request):
    max_content_length = MAX_BODY_BYTES + 1
    """Werkzeug silently truncates a chunked body to this length."""

    def json_object(self) -> dict[str, Any]:
        """
        Parse the body.

        :raises ApiError: if it is not a JSON object.
        """
        data = self.get_data()
        if len(data) > MAX_BODY_BYTES:
            raise RequestEntityTooLarge
        try:
            body = json.loads(data)
        except (ValueError, RecursionError):
            raise ApiError(400, "malformed_json", "The body is not valid JSON.") from None
        if not isinstance(body, dict):
            raise ApiError(400, "invalid_request", "The body is not a JSON object.")
        return body


@dataclass(frozen=True, kw_only=True)
class Application:
    """
    The endpoint of a route is called with the request and the names in its path.
    """

    routes: Map
    hosts: Collection[str]
    """The host names it is served at, besides those of this machine; 0.0.0.0 stands for any address."""
    wait: Callable[[], object]
    """Called before each request to the API."""

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        response = self._response(SimulatorRequest(environ))
        for name, value in SAFETY.items():
            response.headers.setdefault(name, value)
        return response(environ, start_response)

    def _response(self, request: SimulatorRequest) -> Response:
        try:
            return self._dispatch(request)
        except (HTTPException, KeyReused, NoSuchCharge, NoSuchRefund) as error:
            return error_response(error)
        except (LedgerClosed, ConnectionAbortedError) as error:
            raise ConnectionAbortedError from error
        except Exception:
            logger.exception("%s %s failed.", request.method, request.path)
            return json_response({"error": "unexpected"}, status=500)

    def _dispatch(self, request: SimulatorRequest) -> Response:
        require_known_host(request, self.hosts)
        endpoint, names = self.routes.bind("").match(request.path, request.method)
        if request.method == "POST":
            require_same_origin(request)
        if request.path.startswith("/v1/"):
            self.wait()
        response: Response = endpoint(request, **names)
        return response


def error_response(error: Exception) -> Response:
    if isinstance(error, HTTPException) and isinstance(error.response, Response):
        return error.response
    status, name, detail = ERRORS.get(type(error), (400, "invalid_request", "The request cannot be read."))
    response = json_response({"error": name} | ({"detail": detail} if detail else {}), status=status)
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
