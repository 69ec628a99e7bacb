"""
The URLs of contexts that run in other services, which pages of this one link to: a reverse proxy serves all services of
a shop at one address.
"""

from collections.abc import Mapping

from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, URLResolver, include, path


def elsewhere(request: HttpRequest, **_: object) -> HttpResponse:
    """
    Answer a request that the proxy should have sent to another service.
    """
    raise Http404


def _pages(routes: Mapping[str, str]) -> list[URLPattern]:
    return [path(route, elsewhere, name=name) for name, route in routes.items()]


def _within(prefix: str, namespace: str, routes: Mapping[str, str]) -> URLResolver:
    return path(prefix, include((_pages(routes), namespace)))


ORDERS = {
    "product-list": "products/",
    "quote": "quote/",
    "order-list": "orders/",
    "order-detail": "orders/<pk>/",
}
ACCOUNTS = {
    "set-language": "language/",
    "password": "account/password/",
    "forgotten-password": "account/forgotten-password/",
    "password-reset": "account/password-reset/<token>/",
    "sign-up": "account/sign-up/",
    "sign-up-confirmation": "account/sign-up/<token>/",
    "account": "api/v1/account/",
    "token-list": "api/v1/tokens/",
    "signing-key-list": "api/v1/signing-keys/",
}
NOTIFICATIONS = {"notification-list": "notifications/", "preferences": "notification-preferences/"}

URLS: dict[str, list[URLPattern | URLResolver]] = {
    "orders": [
        _within("api/v1/", "orders", ORDERS),
        *_pages(ACCOUNTS),
        _within("api/auth/", "rest_framework", {"login": "login/", "logout": "logout/"}),
    ],
    "inventory": [_within("api/v1/", "inventory", {"stock-list": "stock/"})],
    "payments": [_within("api/v1/", "payments", {"payment-list": "payments/"})],
    "notifications": [
        _within("api/v1/", "notifications", NOTIFICATIONS),
        *_pages({"unsubscribe": "unsubscribe/<token>/"}),
        _within("sent/", "mailbox", {"list": ""}),
    ],
}
"""By context, under the names and paths that the context itself has."""
