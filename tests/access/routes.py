"""
Every route of the URLconf, and what to send to it.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from django.contrib import admin
from django.contrib.admindocs.views import simplify_regex
from django.urls import URLPattern, get_resolver

from tests.factories import PASSWORD
from tests.webhooks import DATA

OF_DEAD_LETTERS = ("/pause/", "/groups/group/", "/replay/", "/discard/", "/end/", "/export/")
"""Pages of the admin whose POST needs no row: forms of deliveries, and exports."""

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")

CREDENTIALS = {"username": "ada", "password": PASSWORD}
NEW_PASSWORD = "four green chairs"
TOKEN_OF_LINK = "link_" + 75 * "0"
"""That the shop has not signed."""
FORMS = {"POST /language/": {"language": "de"}, "POST /api/auth/login/": CREDENTIALS, "POST /admin/login/": CREDENTIALS}
FORMS |= {
    "POST /account/password/": {
        "current_password": PASSWORD,
        "new_password": NEW_PASSWORD,
        "repeated": NEW_PASSWORD,
    },
    "POST /account/forgotten-password/": {"email": "ada@example.com"},
    "POST /account/sign-up/": {"email": "eve@example.com"},
}
QUERIES = {"/api/v1/quote/": "?quantity[RED-CHAIR]=2"}
PREFERENCES = {"preferences": [{"kind": "payment_due_soon", "channel": "email", "is_on": False}]}
BODIES: Mapping[str, Mapping[str, object]] = {
    "POST /api/v1/orders/": {
        "lines": [{"sku": "RED-CHAIR", "quantity": 2}],
        "payment_method": "tok_visa",
        "expected_total": 9_000,
    },
    "POST /api/v1/tokens/": CREDENTIALS | {"name": "a program"},
    "PATCH /api/v1/account/": {"language": "de"},
    "POST /api/v1/account/password/": {"current_password": PASSWORD, "new_password": NEW_PASSWORD},
    "POST /api/v1/password-resets/": {"email": "ada@example.com"},
    "POST /api/v1/sign-ups/": {"email": "eve@example.com"},
    "POST /api/v1/sign-ups/confirm/": {"token": TOKEN_OF_LINK, "new_password": NEW_PASSWORD},
    "POST /api/v1/password-resets/confirm/": {"token": TOKEN_OF_LINK, "new_password": NEW_PASSWORD},
    "PATCH /api/v1/notification-preferences/": PREFERENCES,
    "POST /api/v1/notification-preferences/": PREFERENCES,
    "POST /api/v1/signing-keys/": {"name": "a program", "algorithm": "hmac-sha256"},
    "POST /api/v1/webhooks/payments/": {"type": "charge.updated", "data": DATA},
}


class Route(NamedTuple):
    """
    A method of a URL pattern, such as `GET /api/v1/orders/<pk>/`.
    """

    method: str
    pattern: str

    def __str__(self) -> str:
        return f"{self.method} {self.pattern}"

    @property
    def is_api(self) -> bool:
        return self.pattern.startswith("/api/v1/")

    @property
    def is_unsafe(self) -> bool:
        return self.method != "GET"

    @property
    def model(self) -> str:
        """
        The model of a page of the admin; empty for other pages.
        """
        match = re.match(r"/admin/(\w+)/(\w+)/", self.pattern)
        return match[2] if match and match.groups() in _models() else ""

    @property
    def family(self) -> "Route":
        """
        The route without its model, as all models have the same pages.
        """
        pattern = re.sub(r"^/admin/\w+/\w+/", "/admin/<app>/<model>/", self.pattern) if self.model else self.pattern
        return Route(self.method, pattern)

    @property
    def resource(self) -> str:
        """
        The key of the route's id in `ids`.
        """
        if "/resolutions/" in self.pattern:
            return "resolutions"
        return self.model or self.pattern.removeprefix("/api/v1").split("/")[1]

    def address(self, ids: Mapping[str, str]) -> str:
        """
        Return the URL of the route, with an id of these where it has a parameter.
        """
        pattern = self.pattern.replace("<app_label>", "orders").replace("<name>/<language>", "order-confirmed/en")
        pattern = pattern.replace("/do/<name>", "/do/cancel")
        return re.sub(r"<[^>]+>", ids.get(self.resource, "1"), pattern) + QUERIES.get(self.pattern, "")


def every_route() -> Iterator[Route]:
    """
    Yield every route of the URLconf.
    """
    for pattern, view in _walk(get_resolver().url_patterns):
        yield from (Route(method, pattern) for method in METHODS if method in _methods_of(view))


def _walk(patterns: list[Any], before: str = "") -> Iterator[tuple[str, Callable[..., Any]]]:
    for pattern in patterns:
        whole = before + str(pattern.pattern)
        if isinstance(pattern, URLPattern):
            yield simplify_regex(whole), pattern.callback
        else:
            yield from _walk(pattern.url_patterns, whole)


def _methods_of(view: Any) -> set[str]:
    """
    Return the methods of a view; those of a browser for a function, which does not declare any.
    """
    if actions := getattr(view, "actions", None):
        return {method.upper() for method in actions}
    if kind := getattr(view, "view_class", None) or getattr(view, "cls", None):
        return {method.upper() for method in kind.http_method_names if hasattr(kind, method)}
    return {"GET", "POST"}


def _models() -> set[tuple[str, str]]:
    return {(model._meta.app_label, model._meta.model_name) for model in admin.site._registry}
