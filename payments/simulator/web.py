"""
The application: finds who answers a request, and guards all of them alike.
"""

import logging
import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from .api import REFUSALS, Api, refusal
from .exchange import Answer, Environ, Refused, Request, json_answer
from .ledger import Closed
from .pages import Pages

logger = logging.getLogger(__name__)

SAFETY = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
STEP = "([^/]+)"


@dataclass(frozen=True, kw_only=True)
class Application:
    """
    Answer as a WSGI application. A server that can hang up offers that as `simulator.hang_up`.
    """

    api: Api
    pages: Pages
    hosts: Collection[str]
    """The names under which it may be asked, besides those of this machine."""
    latency: float

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        request = Request(environ)
        answer = self._answer(request)
        if answer.hangs_up and "simulator.hang_up" in environ:
            environ["simulator.hang_up"]()
        status = HTTPStatus(answer.status)
        start_response(f"{status.value} {status.phrase}", [*(SAFETY | dict(answer.headers)).items()])
        return [] if request.method == "HEAD" else answer.body

    def _answer(self, request: Request) -> Answer:
        try:
            request.require_host(self.hosts)
            route, names = self._route(request)
            if request.path.startswith("/v1/") and self.latency:
                self.api.sleep(self.latency)
            return route(request, *names)
        except Refused as refused:
            return refused.answer
        except REFUSALS as error:
            return refusal(error).answer
        except Closed:
            return Answer(hangs_up=True, status=503)
        except Exception:
            logger.exception("%s %s failed.", request.method, request.path)
            return json_answer({"error": "unexpected"}, status=500)

    def _route(self, request: Request) -> tuple[Callable[..., Answer], tuple[str, ...]]:
        """
        Find who answers, and the names in the path.

        :raises Refused: if nobody answers at this path, or not to this method, or not to this caller.
        """
        method = "GET" if request.method == "HEAD" else request.method
        for pattern, routes in self._routes().items():
            if found := re.fullmatch(pattern, request.path):
                if method not in routes:
                    raise Refused(405, "method_not_allowed", Allow=", ".join(_allowed(routes)))
                if method == "POST":
                    request.require_same_origin()
                return routes[method], found.groups()
        raise Refused(404, "not_found")

    def _routes(self) -> dict[str, dict[str, Callable[..., Answer]]]:
        return {
            "/v1/charges": {"POST": self.api.charge},
            f"/v1/charges/{STEP}": {"GET": self.api.look_up},
            f"/v1/charges/{STEP}/cancel": {"POST": self.api.cancel},
            f"/v1/charges/{STEP}/refunds": {"POST": self.api.refund},
            f"/v1/charges/{STEP}/refunds/{STEP}": {"GET": self.api.look_up_refund},
            "/v1/statement": {"GET": self.api.statement},
            "/v1/faults": {"GET": self.api.faults},
            "/": {"GET": self.pages.overview},
            "/style.css": {"GET": self.pages.style},
            f"/payments/{STEP}": {"GET": self.pages.payment},
            f"/payments/{STEP}/{STEP}": {"POST": self.pages.press},
        }


def _allowed(routes: Iterable[str]) -> list[str]:
    return sorted({*routes} | ({"HEAD"} if "GET" in routes else set()))
