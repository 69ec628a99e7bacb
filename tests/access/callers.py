"""
Callers with their credentials.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.test import Client
from django.test.client import ClientHandler

from notifications.models import Notification
from payments.models import PaymentIntent
from shop.accounts.models import Token
from tests.access.routes import BODIES, FORMS, Route
from tests.factories import make_signing_key, make_stock, place_order

CSRF = "c" * 32
HANDLER = ClientHandler(enforce_csrf_checks=True)
"""One for all requests: each would load the middleware again."""

OUR_PAGE = {"X-CSRFToken": CSRF}
"""The headers of a request of the shop's own pages."""

ResourceIds = Mapping[str, str]
"""Ids by resource."""


class Caller:
    """
    A user with a session and a token; or an anonymous one, with neither.
    """

    def __init__(self, user: AbstractBaseUser | None) -> None:
        self.user = user
        self.session = {**_log_in(user), "csrftoken": CSRF}
        """The cookies of a browser that has opened a page of the shop."""
        self.token = _get_token(user)
        """The headers of a program with a token."""

    def by_session(self, route: Route, ids: ResourceIds) -> Any:
        return send(route, ids, cookies=self.session, headers=OUR_PAGE)

    def by_browser(self, route: Route, ids: ResourceIds) -> Any:
        return send(route, ids, cookies=self.session, headers={**OUR_PAGE, "Accept": "text/html"})

    def by_token(self, route: Route, ids: ResourceIds) -> Any:
        return send(route, ids, headers=self.token)


def _log_in(user: AbstractBaseUser | None) -> dict[str, str]:
    client = Client()
    if user:
        client.force_login(user)
    return {name: morsel.value for name, morsel in client.cookies.items()}


def _get_token(user: AbstractBaseUser | None) -> dict[str, str]:
    return {"Authorization": f"Token {Token.objects.create(user=user, name='a program')[1]}"} if user else {}


def send(
    route: Route, ids: ResourceIds, *, headers: Mapping[str, str], cookies: Mapping[str, str] | None = None
) -> Any:
    """
    Send a request that the route accepts: JSON to the API, a form elsewhere.
    """
    client = Client(enforce_csrf_checks=True, raise_request_exception=False)
    client.handler = HANDLER
    client.cookies.load(dict(cookies or {}))
    if route.is_api:
        body, kind = json.dumps(BODIES.get(str(route), {})), "application/json"
    else:
        body, kind = urlencode(FORMS.get(str(route), {})), "application/x-www-form-urlencoded"
    sent = {"Idempotency-Key": "basket-1", "Accept": "*/*", **headers}
    return client.generic(route.method, route.address(ids), body if route.is_unsafe else "", kind, headers=sent)


def create_resources(owner: AbstractBaseUser, deliver: Callable[[], object]) -> dict[str, str]:
    """
    Create a resource of this customer in each collection, with a confirmed order; return their ids.
    """
    make_stock(100)
    order = place_order(customer_id=owner.pk)
    deliver()
    rows = {
        "orders": order,
        "payments": PaymentIntent.objects.get(),
        "notifications": Notification.objects.latest("pk"),
        "sent": Notification.objects.latest("pk"),
        "signing-keys": make_signing_key(owner),
        "tokens": Token.objects.create(user=owner, name="nightly")[0],
    }
    return {name: str(row.pk) for name, row in rows.items()} | {"products": "RED-CHAIR", "stock": "RED-CHAIR"}


@contextmanager
def undone() -> Iterator[None]:
    """
    Roll back what happens in the block.
    """
    with transaction.atomic():
        yield
        transaction.set_rollback(True)
