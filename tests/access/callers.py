"""
Who asks, and by what the shop knows them.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.test import Client

from shop.accounts.models import Token
from tests.access.routes import BODIES, FORMS, Route

CSRF = "c" * 32
OUR_PAGE = {"X-CSRFToken": CSRF}
"""What comes with whatever a page of ours sends."""

Things = Mapping[str, str]
"""The names of things by resource."""


class Caller:
    """
    A person with a browser and a program; or nobody, with both of them but unknown.
    """

    def __init__(self, user: AbstractBaseUser | None) -> None:
        self.user = user
        self.session = {**_log_in(user), "csrftoken": CSRF}
        """The cookies of a browser in which one of our pages was opened."""
        self.token = _get_token(user)
        """The headers of a program."""

    def by_session(self, route: Route, things: Things) -> Any:
        return ask(route, things, cookies=self.session, headers=OUR_PAGE)

    def by_token(self, route: Route, things: Things) -> Any:
        return ask(route, things, headers=self.token)


def _log_in(user: AbstractBaseUser | None) -> dict[str, str]:
    client = Client()
    if user:
        client.force_login(user)
    return {name: morsel.value for name, morsel in client.cookies.items()}


def _get_token(user: AbstractBaseUser | None) -> dict[str, str]:
    return {"Authorization": f"Token {Token.objects.create(user=user, name='a program')[1]}"} if user else {}


def ask(route: Route, things: Things, *, headers: Mapping[str, str], cookies: Mapping[str, str] | None = None) -> Any:
    """
    Send what the route wants, as a browser sends a form or as a program sends JSON.
    """
    client = Client(enforce_csrf_checks=True, raise_request_exception=False)
    client.cookies.load(dict(cookies or {}))
    if route.is_api:
        body, kind = json.dumps(BODIES.get(str(route), {})), "application/json"
    else:
        body, kind = urlencode(FORMS.get(str(route), {})), "application/x-www-form-urlencoded"
    sent = {"Idempotency-Key": "basket-1", "Accept": "*/*", **headers}
    return client.generic(route.method, route.address(things), body if route.is_unsafe else "", kind, headers=sent)


@contextmanager
def undone() -> Iterator[None]:
    """
    Let nothing have happened.
    """
    with transaction.atomic():
        yield
        transaction.set_rollback(True)
