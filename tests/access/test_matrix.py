"""
Permissions: the status of every route of the URLconf for every kind of user.

Bob and Ada are customers; ids are of Ada's resources. Carl is staff without permissions, Sue may view everything, Olga
is a superuser.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any
from uuid import uuid4

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission
from django.test import RequestFactory

from tests.access.callers import CSRF, OUR_PAGE, Caller, ResourceIds, send, undone
from tests.access.routes import METHODS, OF_DEAD_LETTERS, Route, every_route
from tests.refusals import problem_of
from tests.snapshot import snapshot

MATRIX = """\
                                                               guest     bob     ada    carl     sue    olga
GET    /                                                         200     200     200     200     200     200
GET    /tour/<slug:scene>/                                       404     404     404     404     404     404
POST   /tour/<slug:scene>/                                       404     404     404     404     404     404
GET    /tour/orders/<str:number>/                                404     404     404     404     404     404
POST   /tour/orders/<str:number>/                                404     404     404     404     404     404
GET    /tour/orders/<str:number>/cancel/                         404     404     404     404     404     404
POST   /tour/orders/<str:number>/cancel/                         404     404     404     404     404     404
GET    /problems/                                                200     200     200     200     200     200
POST   /problems/                                                405     405     405     405     405     405
GET    /healthz                                                  200     200     200     200     200     200
POST   /healthz                                                  405     405     405     405     405     405
GET    /livez                                                    200     200     200     200     200     200
POST   /livez                                                    405     405     405     405     405     405
GET    /readyz                                                   503     503     503     503     503     503
POST   /readyz                                                   405     405     405     405     405     405
GET    /metrics                                                  200     200     200     200     200     200
POST   /metrics                                                  405     405     405     405     405     405
GET    /admin/second-factor/                                     302     302     302     200     200     200
POST   /admin/second-factor/                                     302     302     302     200     200     200
GET    /admin/second-factor/code/                                302     302     302     200     200     200
POST   /admin/second-factor/code/                                302     302     302     200     200     200
GET    /admin/                                                   302     302     302     200     200     200
POST   /admin/                                                   302     302     302     200     200     200
GET    /admin/login/                                             200     200     200     302     302     302
POST   /admin/login/                                             200     200     200     200     200     200
GET    /admin/logout/                                            302     302     302     405     405     405
POST   /admin/logout/                                            302     302     302     302     302     302
GET    /admin/password_change/                                   302     302     302     200     200     200
POST   /admin/password_change/                                   302     302     302     200     200     200
GET    /admin/password_change/done/                              302     302     302     200     200     200
POST   /admin/password_change/done/                              302     302     302     405     405     405
GET    /admin/autocomplete/                                      302     302     302     403     403     403
POST   /admin/autocomplete/                                      302     302     302     405     405     405
GET    /admin/jsi18n/                                            302     302     302     200     200     200
POST   /admin/jsi18n/                                            302     302     302     405     405     405
GET    /admin/r/<path:content_type_id>/<path:object_id>/         302     302     302     404     404     404
POST   /admin/r/<path:content_type_id>/<path:object_id>/         302     302     302     404     404     404
GET    /admin/<app>/<model>/                                     302     302     302     403     200     200
POST   /admin/<app>/<model>/                                     302     302     302     403     200     200
GET    /admin/<app>/<model>/add/                                 302     302     302     403     403 200/403
POST   /admin/<app>/<model>/add/                                 302     302     302     403     403     200
GET    /admin/<app>/<model>/<path:object_id>/history/            302     302     302     403     200     200
POST   /admin/<app>/<model>/<path:object_id>/history/            302     302     302     403     200     200
GET    /admin/<app>/<model>/<path:object_id>/delete/             302     302     302     403     403 200/403
POST   /admin/<app>/<model>/<path:object_id>/delete/             302     302     302     403     403 200/403
GET    /admin/<app>/<model>/<path:object_id>/change/             302     302     302     403     200     200
POST   /admin/<app>/<model>/<path:object_id>/change/             302     302     302     403     403     200
GET    /admin/<app>/<model>/<path:object_id>/                    302     302     302     302     302     302
POST   /admin/<app>/<model>/<path:object_id>/                    302     302     302     302     302     302
PUT    /admin/<app>/<model>/<path:object_id>/                    302     302     302     302     302     302
PATCH  /admin/<app>/<model>/<path:object_id>/                    302     302     302     302     302     302
DELETE /admin/<app>/<model>/<path:object_id>/                    302     302     302     302     302     302
GET    /admin/<app>/<model>/<id>/password/                       302     302     302     403     403     200
POST   /admin/<app>/<model>/<id>/password/                       302     302     302     403     403     200
GET    /admin/<app>/<model>/backlog/                             302     302     302     403     200     200
GET    /admin/<app>/<model>/pause/                               302     302     302     403     404     404
POST   /admin/<app>/<model>/pause/                               302     302     302     403     404     404
GET    /admin/<app>/<model>/workers/<int:number>/end/            302     302     302     403     403     404
POST   /admin/<app>/<model>/workers/<int:number>/end/            302     302     302     403     403     404
GET    /admin/<app>/<model>/groups/                              302     302     302     403     200     200
GET    /admin/<app>/<model>/groups/group/                        302     302     302     403     404     404
POST   /admin/<app>/<model>/groups/group/                        302     302     302     403     403     404
GET    /admin/<app>/<model>/replay/                              302     302     302     403     403     200
POST   /admin/<app>/<model>/replay/                              302     302     302     403     403     302
GET    /admin/<app>/<model>/discard/                             302     302     302     403     403     200
POST   /admin/<app>/<model>/discard/                             302     302     302     403     403     200
GET    /admin/<app>/<model>/resolutions/<uuid:pk>/               302     302     302     403     200     200
GET    /admin/<app>/<model>/export/                              302     302     302     403     403     200
POST   /admin/<app>/<model>/export/                              302     302     302     403     403     405
GET    /admin/<app>/<model>/<path:object_id>/do/<name>/          302     302     302     403     403     200
POST   /admin/<app>/<model>/<path:object_id>/do/<name>/          302     302     302     403     403     200
GET    /admin/<app>/<model>/previews/                            302     302     302     403     200     200
GET    /admin/<app>/<model>/previews/<name>/<language>/          302     302     302     403     200     200
GET    /admin/<app>/<model>/previews/<name>/<language>/mail/     302     302     302     403     200     200
GET    /admin/<app_label>/                                       302     302     302     404     200     200
POST   /admin/<app_label>/                                       302     302     302     404     200     200
GET    /admin/<url>                                              302     302     302     404     404     404
POST   /admin/<url>                                              302     302     302     404     404     404
GET    /api/v1/                                                  200     200     200     200     200     200
GET    /api/v1/schema/                                           200     200     200     200     200     200
GET    /api/v1/docs/                                             200     200     200     200     200     200
GET    /api/v1/redoc/                                            200     200     200     200     200     200
GET    /language/                                                405     405     405     405     405     405
POST   /language/                                                302     302     302     302     302     302
GET    /account/password/                                        302     200     200     200     200     200
POST   /account/password/                                        302     302     302     200     200     200
GET    /account/forgotten-password/                              200     200     200     200     200     200
POST   /account/forgotten-password/                              302     302     302     302     302     302
GET    /account/password-reset/<token>/                          404     404     404     404     404     404
POST   /account/password-reset/<token>/                          404     404     404     404     404     404
GET    /account/sign-up/                                         200     200     200     200     200     200
POST   /account/sign-up/                                         302     302     302     302     302     302
GET    /account/sign-up/<token>/                                 404     404     404     404     404     404
POST   /account/sign-up/<token>/                                 404     404     404     404     404     404
GET    /api/auth/login/                                          200     200     200     200     200     200
POST   /api/auth/login/                                          302     302     302     302     302     302
PUT    /api/auth/login/                                          200     200     200     200     200     200
POST   /api/auth/logout/                                         302     302     302     302     302     302
GET    /api/v1/account/                                          401     200     200     200     200     200
PATCH  /api/v1/account/                                          401     200     200     200     200     200
POST   /api/v1/account/password/                                 401     204     204     400     400     400
POST   /api/v1/password-resets/                                  202     202     202     202     202     202
POST   /api/v1/password-resets/confirm/                          404     404     404     404     404     404
POST   /api/v1/sign-ups/                                         202     202     202     202     202     202
POST   /api/v1/sign-ups/confirm/                                 404     404     404     404     404     404
POST   /api/v1/introspect/                                       401     401     401     401     401     401
GET    /api/v1/tokens/                                           401     200     200     200     200     200
POST   /api/v1/tokens/                                           201     201     201     201     201     201
DELETE /api/v1/tokens/<pk>/                                      401     404     204     404     404     404
GET    /api/v1/signing-keys/                                     401     200     200     200     200     200
POST   /api/v1/signing-keys/                                     401     201     201     201     201     201
DELETE /api/v1/signing-keys/<pk>/                                401     404     204     404     404     404
POST   /api/v1/signing-keys/<pk>/rotate/                         401     404     201     404     404     404
GET    /api/v1/quote/                                            401     200     200     200     200     200
GET    /api/v1/products/                                         200     200     200     200     200     200
GET    /api/v1/products/<pk>/                                    200     200     200     200     200     200
GET    /api/v1/orders/                                           401     200     200     200     200     200
POST   /api/v1/orders/                                           401     201     201     201     201     201
GET    /api/v1/orders/<pk>/                                      401     404     200     404     404     404
POST   /api/v1/orders/<pk>/cancel/                               401     404     200     404     404     404
GET    /api/v1/stock/                                            401     403     403     403     200     200
GET    /api/v1/stock/<sku>/                                      401     403     403     403     200     200
GET    /api/v1/payments/                                         401     200     200     200     200     200
GET    /api/v1/payments/<pk>/                                    401     404     200     404     404     404
POST   /api/v1/webhooks/payments/                                401     401     401     401     401     401
GET    /api/v1/notifications/                                    401     200     200     200     200     200
GET    /api/v1/notifications/<pk>/                               401     404     200     404     404     404
GET    /api/v1/notification-preferences/                         401     200     200     200     200     200
POST   /api/v1/notification-preferences/                         401     200     200     200     200     200
PATCH  /api/v1/notification-preferences/                         401     200     200     200     200     200
POST   /api/v1/webhooks/email/                                   401     401     401     401     401     401
POST   /api/v1/webhooks/sms/                                     401     401     401     401     401     401
GET    /unsubscribe/<token>/                                     404     404     404     404     404     404
POST   /unsubscribe/<token>/                                     404     404     404     404     404     404
GET    /sent/                                                    404     404     404     404     404     404
GET    /sent/<uuid:pk>/                                          404     404     404     404     404     404
GET    /sent/<uuid:pk>/mail/                                     404     404     404     404     404     404
"""

MAILBOX_WITH_DEBUG = """\
                                                               guest     bob     ada    carl     sue    olga
GET    /sent/                                                    302     403     403     403     200     200
GET    /sent/<uuid:pk>/                                          302     403     403     403     200     200
GET    /sent/<uuid:pk>/mail/                                     302     403     403     403     200     200
"""

BY_HAND = {
    "auth.Group": {"add", "change", "delete"},
    "auth.User": {"add", "change", "delete"},
    "django_q.Failure": {"change", "delete"},
    "django_q.OrmQ": {"change", "delete"},
    "django_q.Schedule": {"add", "change", "delete"},
    "django_q.Success": {"change", "delete"},
    "notifications.Suppression": {"delete"},
    "orders.Product": {"add", "change"},
}
"""What a superuser may do in the admin beyond viewing and actions. All other changes are made by services."""

ALL_METHODS = {*METHODS, "TRACE", "CONNECT", "PROPFIND", "BREW"}
SPELLINGS: Sequence[Callable[[str], str]] = (
    str,
    str.upper,
    lambda text: text.replace("-", ""),
    "{}%00".format,
    "urn:uuid:{}".format,
)
"""An id as it is, and in forms that some parsers accept too."""


def matrix(people: Mapping[str, Caller], ids: ResourceIds, by: Callable[..., Any], *, only: str = "/") -> Iterator[str]:
    """
    Yield a line per route with its status for each caller; one line for the same page of all models.
    """
    statuses: dict[Route, dict[str, set[int]]] = {}
    for route in [route for route in every_route() if route.pattern.startswith(only)]:
        row = statuses.setdefault(route.family, {name: set() for name in people})
        for name, caller in people.items() if is_tested(route, ids) else ():
            with undone():
                row[name].add(by(caller, route, ids).status_code)
    yield line("", "", *people)
    for route, row in statuses.items():
        yield line(route.method, route.pattern, *("/".join(map(str, sorted(answers))) for answers in row.values()))


def is_tested(route: Route, ids: ResourceIds) -> bool:
    """
    Return whether to request a route: each page of each model that has a row, but forms of one model only.
    """
    if route.is_unsafe and "/do/" not in route.pattern:
        return route.model in {"", "product", "user"} or route.pattern.endswith(OF_DEAD_LETTERS)
    return "<" not in route.pattern or not route.model or route.model in ids


def line(method: str, pattern: str, *cells: str) -> str:
    return f"{method:7}{pattern:53}" + "".join(f"{cell:>8}" for cell in cells)


@pytest.fixture
def api_routes() -> list[Route]:
    return [route for route in every_route() if route.is_api]


class TestEveryRoute:
    def test_has_these_statuses_by_session(self, people, ids):
        assert list(matrix(people, ids, Caller.by_session)) == MATRIX.splitlines()

    def test_has_the_same_statuses_by_token(self, people, ids):
        head, *rows = MATRIX.splitlines()
        of_the_api = [row for row in rows if " /api/v1/" in row]

        assert list(matrix(people, ids, Caller.by_token, only="/api/v1/")) == [head, *of_the_api]

    def test_of_the_mailbox_exists_for_operators_with_debug(self, people, ids, settings):
        settings.DEBUG = True

        assert list(matrix(people, ids, Caller.by_session, only="/sent/")) == MAILBOX_WITH_DEBUG.splitlines()

    def test_is_anonymous_in_the_admin_by_token(self, people, ids):
        routes = [route for route in every_route() if route.pattern.startswith("/admin/") and is_tested(route, ids)]

        for route in routes:
            by_token = send(route, ids, cookies={"csrftoken": CSRF}, headers=OUR_PAGE | people["olga"].token)
            assert by_token.status_code == people["guest"].by_session(route, ids).status_code, route

    def test_allows_no_other_method(self, people, ids, api_routes):
        before = snapshot()

        for pattern in {route.pattern for route in api_routes}:
            allowed = {route.method for route in api_routes if route.pattern == pattern}
            for method in ALL_METHODS - allowed:
                answer = people["olga"].by_token(Route(method, pattern), ids)
                assert problem_of(answer)["code"] == "method_not_allowed", (method, pattern)
                assert set(answer.headers["Allow"].split(", ")) - {"HEAD", "OPTIONS"} == allowed, pattern

        assert snapshot() == before

    def test_has_the_same_status_for_head(self, people, ids, api_routes):
        for caller in people.values():
            for route in api_routes:
                if route.method == "GET":
                    head = caller.by_token(route._replace(method="HEAD"), ids)
                    assert head.status_code == caller.by_token(route, ids).status_code, route
                    assert head.content == b""


class TestOtherUser:
    @pytest.mark.parametrize("by", [Caller.by_session, Caller.by_token])
    @pytest.mark.parametrize("name", ["bob", "olga"])
    def test_cannot_distinguish_adas_resources_from_none(self, people, ids, api_routes, name, by):
        hers = [route for route in api_routes if "<" in route.pattern and route.resource not in {"products", "stock"}]
        unknown = dict.fromkeys(ids, str(uuid4()))
        before = snapshot()

        for route, spell in product(hers, SPELLINGS):
            spelt = {name: spell(text) for name, text in ids.items()}
            assert content_of(by(people[name], route, spelt)) == content_of(by(people[name], route, unknown)), route
            assert by(people[name], route, spelt).status_code == 404

        assert snapshot() == before

    def test_needs_to_be_staff_to_view_the_stock(self, people, ids):
        customer = people["bob"].user
        customer.user_permissions.set(Permission.objects.filter(codename="view_stockitem"))

        assert people["bob"].by_token(Route("GET", "/api/v1/stock/"), ids).status_code == 403


class TestSuperuser:
    def test_changes_only_these_models_by_hand(self, people):
        request = RequestFactory().get("/admin/")
        request.user = people["olga"].user
        rights = {model._meta.label: page.get_model_perms(request) for model, page in admin.site._registry.items()}

        may = {label: {right for right, granted in of.items() if granted} - {"view"} for label, of in rights.items()}

        assert {label: granted for label, granted in may.items() if granted} == BY_HAND


def content_of(answer: Any) -> tuple[int, dict[str, str], dict[str, str]]:
    """
    Return status, headers and body of a response, without what differs every time.
    """
    headers = {name: value for name, value in answer.headers.items() if name not in {"X-Request-Id", "Date"}}
    return answer.status_code, headers, answer.json() | {"request_id": "another"}
