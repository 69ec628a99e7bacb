"""
The pages of the operator's desk over a generated database: their time, statements, and the rows that these read.

Pages come from the URLs and the registry of the admin, so that a new one is measured too.
"""

import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import reduce
from itertools import groupby
from operator import attrgetter
from statistics import median
from typing import Any
from urllib.parse import urlencode, urlsplit

from django.contrib import admin
from django.contrib.admin.utils import quote
from django.contrib.admindocs.views import simplify_regex
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.db import connection
from django.db.models import Model
from django.test import Client, RequestFactory, override_settings
from django.urls import resolve, reverse

from messaging.dead_letter_pages import group_url
from messaging.dead_letters import groups_at_a_glance
from messaging.models import Delivery, Resolution, Worker
from orders.models import Order
from shop.http import order_panels
from shop.monitoring import views as monitoring
from tests.access.routes import every_route

from .usage import cpu_of

MOST_SECONDS, MOST_STATEMENTS = 0.3, 20
"""A page above one of them is named."""

ROUNDS, PATIENCE_SECONDS = 5, 1.0
"""A page that takes longer than that is asked twice."""

NOTHING = "no such thing"
REHEARSALS = ("replay", "discard")
LOYAL_CUSTOMER = 1
"""Who has placed one of fifty orders."""

REFUSED = (403, 404)
ALLOWED = (200, 302, 403, 503)
"""Rows of most models are added, changed and deleted by no one; a shop without workers is not ready."""

OF_DJANGO = re.compile(
    r"/admin/((login|logout|password_change(/done)?|autocomplete|jsi18n)/|r/.*|<url>|<app_label>/"
    r"|\w+/\w+/(<path:object_id>|<id>/password)/)"
)
"""Pages that read no rows of the shop, and addresses that redirect."""


@dataclass(frozen=True)
class Page:
    kind: str
    """Such as "orders.order, filtered"."""
    url: str


@dataclass
class Visit:
    """A page as it was answered."""

    page: Page
    seconds: list[float] = field(default_factory=list)
    cpu_seconds: float = 0
    """A round, in Python and PostgreSQL."""
    statements: int = 0
    rows: int = 0
    """Read by its statements, without those that an index skipped."""
    status: int = 0

    @property
    def median(self) -> float:
        return median(self.seconds or [0])

    @property
    def is_above(self) -> bool:
        return self.median > MOST_SECONDS or self.statements > MOST_STATEMENTS


def operator() -> Client:
    """Return a client in which an operator is logged in: a member of all groups."""
    olga = get_user_model().objects.create_user("olga", is_staff=True)
    olga.groups.set(Group.objects.all())
    return _client_of(olga)


def owner() -> Client:
    """Return a client in which a user is logged in who may see what no group may."""
    return _client_of(get_user_model().objects.create_superuser("owner"))


def visit_all(pages: Iterable[Page], *, rounds: int = ROUNDS) -> list[Visit]:
    """
    Ask for each page as an operator: once to warm up, then so many times, at least twice if it takes long.

    :raises AssertionError: if a page is not answered with 200.
    """
    clients = [operator(), owner()]
    with override_settings(ALLOWED_HOSTS=["testserver"]):
        return [_visit(page, clients, rounds) for page in pages]


def figures_of(visits: Sequence[Visit]) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield the figures by kind of page, and of each page that is above a limit."""
    in_order = sorted(visits, key=lambda visit: visit.page.kind)
    for kind, found in groupby(in_order, key=lambda visit: visit.page.kind):
        of_kind = list(found)
        worst = max(of_kind, key=attrgetter("median"))
        yield kind, {"pages": len(of_kind), **_figures(worst), "most statements": max(v.statements for v in of_kind)}
    for visit in in_order:
        if visit.is_above:
            yield (
                f"above {MOST_SECONDS * 1000:.0f} ms or {MOST_STATEMENTS} statements: {visit.page.url}",
                _figures(visit),
            )


def every_page() -> Iterator[Page]:
    """
    Yield every page of the desk, each list with its searches, filters, orders, and last page.

    :raises AssertionError: if a route of the admin has no page here.
    """
    pages = [*_pages_of_models(), *_other_pages()]
    missing = _routes() - {resolved for page in pages if (resolved := _route(page.url))}
    assert not missing, f"Not measured: {missing}"
    yield from pages


def _client_of(user: Any) -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(user)
    return client


def _pages_of_models() -> Iterator[Page]:
    request = RequestFactory().get("/")
    request.user = get_user_model()(is_superuser=True)
    for model, about in admin.site._registry.items():
        name, url = model._meta.label_lower, _url(model, "changelist")
        yield from _pages_of_list(name, url, model, about, request)
        yield Page(f"add of {name}", _url(model, "add"))
        for row in _examples(model):
            yield from (
                Page(f"{kind} of {name}", _url(model, kind, row.pk)) for kind in ("change", "history", "delete")
            )


def _pages_of_list(name: str, url: str, model: type[Model], about: Any, request: Any) -> Iterator[Page]:
    listed = about.get_changelist_instance(request)
    yield Page(f"list of {name}", url)
    yield Page(f"last page of {name}", f"{url}?p={listed.paginator.num_pages}")
    if hasattr(about, "exported"):
        yield Page(f"first bytes of an export of {name}", f"{url}export/")
    for term in _terms(model, about) if about.search_fields else ():
        yield Page(f"search of {name}", f"{url}?{urlencode({'q': term})}")
    for query in _filters(listed):
        yield Page(f"filter of {name}", url + query)
    for column in _sortable(listed):
        yield from (Page(f"order of {name}", f"{url}?o={sign}{column}") for sign in ("", "-"))


def _filters(listed: Any) -> Iterator[str]:
    for filter_ in listed.filter_specs:
        yield from (choice["query_string"] for choice in filter_.choices(listed) if not choice["selected"])


def _sortable(listed: Any) -> Iterator[int]:
    for column, name in enumerate(listed.list_display):
        if name in listed.sortable_by and listed.get_ordering_field(name):
            yield column


def _terms(model: type[Model], about: Any) -> Iterator[object]:
    """Yield what a list is searched for: each value of a row in the middle, and what no row has."""
    row = _newest(model)
    if row and model is Order:
        line = row.lines.first()
        yield from (row.number, row.pk, str(row.pk)[:9], row.email, row.email[:4], row.phone, row.idempotency_key)
        yield from (row.customer.username, line.sku, f"instant-{row.pk}", row.number[:-1])
    elif row:
        for path in about.search_fields:
            names = path.removesuffix("__startswith").removesuffix("__istartswith").split("__")
            value = reduce(lambda value, name: getattr(value, name, None), names, row)
            yield from [value] if value else []
    yield NOTHING


def _newest(model: type[Model]) -> Any:
    return model._default_manager.order_by("-pk").first()


def _examples(model: type[Model]) -> list[Model]:
    """Return the newest row of a model, and others whose pages have more to show."""
    more: list[Any] = []
    if model is Order:
        newest = Order.objects.order_by("-pk")
        more = [newest.filter(status=status).first() for status in Order.Status]
        more += [Order.objects.get(pk=dead.message.key) for dead in _dead_orders()]
    elif model is get_user_model():
        more = [model.objects.filter(pk=pk).first() for pk in (LOYAL_CUSTOMER, LOYAL_CUSTOMER + 1)]
    elif model is Delivery:
        more = list(Delivery.objects.dead()[:1])
    return [row for row in (_newest(model), *more) if row]


def _dead_orders() -> Sequence[Delivery]:
    return Delivery.objects.dead().filter(subscriber="inventory.commit_reservation").select_related("message")[:1]


def _other_pages() -> Iterator[Page]:
    yield Page("home", reverse("admin:index"))
    for app in {model._meta.app_label for model in admin.site._registry}:
        yield Page("lists of an app", reverse("admin:app_list", args=[app]))
    for path in (monitoring.livez, monitoring.readyz, monitoring.metrics):
        yield Page(f"/{path.__name__}", reverse(path.__name__))
    yield from _pages_of_messaging()
    yield from _confirmations()
    for route in ("", "order-confirmed/en/", "order-confirmed/en/mail/"):
        yield Page("previews", f"{reverse('admin:notifications_previews')}{route}")


def _pages_of_messaging() -> Iterator[Page]:
    for name in ("backlog", "groups"):
        yield Page(name, reverse(f"admin:messaging_{name}"))
    yield Page("pause", reverse("admin:messaging_pause", query={"subscriber": "notifications.send_email"}))
    for worker in Worker.objects.all():
        yield Page("end of a worker", reverse("admin:messaging_end_worker", args=[worker.number]))
    for group in groups_at_a_glance()[:3]:
        yield from (Page(f"{name} of a group", group_url(name, group.identity)) for name in ("group", *REHEARSALS))
    for filters in _letters():
        yield from (
            Page(f"{name} of a filter", reverse(f"admin:messaging_{name}", query=filters)) for name in REHEARSALS
        )
    for resolution in Resolution.objects.all()[:10]:
        yield Page("resolution", reverse("admin:messaging_resolution", args=[resolution.pk]))


def _letters() -> Iterator[Mapping[str, object]]:
    """Yield filters of dead letters: none, each alone, and two together."""
    letter = Delivery.objects.dead().select_related("message").order_by("pk").first()
    filters = (
        {}
        if not letter
        else {
            "subscriber": letter.subscriber,
            "event_type": letter.message.type,
            "error": letter.error_class,
            "fingerprint": letter.fingerprint,
            "since": letter.failed_at.strftime("%Y-%m-%d %H:%M"),
        }
    )
    yield {}
    yield from ({name: value} for name, value in filters.items())
    yield {"event_type": "orders.order_placed", "error": NOTHING}
    yield {"event_type": NOTHING}


def _confirmations() -> Iterator[Page]:
    for order in _examples(Order):
        for action in order_panels._actions:
            yield Page("confirmation of an action", reverse("admin:orders_order_do", args=[order.pk, action]))


def _url(model: type[Model], kind: str, *ids: object) -> str:
    options = model._meta
    return reverse(f"admin:{options.app_label}_{options.model_name}_{kind}", args=[quote(id_) for id_ in ids])


def _routes() -> set[str]:
    """Return the routes of the admin that read rows of the shop, without those of models without rows."""
    empty = [f"/admin/{model._meta.app_label}/{model._meta.model_name}/<path:" for model in _empty_models()]
    routes = {route.pattern for route in every_route() if route.method == "GET" and route.pattern.startswith("/admin/")}
    shown = {route for route in routes if not route.startswith(tuple(empty))}
    return {route for route in shown if not OF_DJANGO.fullmatch(route)} | {"/livez", "/readyz", "/metrics"}


def _empty_models() -> list[type[Model]]:
    return [model for model in admin.site._registry if not model._default_manager.exists()]


def _route(url: str) -> str:
    return simplify_regex(resolve(urlsplit(url).path).route)


def _visit(page: Page, clients: Sequence[Client], rounds: int) -> Visit:
    """Ask for a page with its statements explained, then so many times with nothing but a clock."""
    for client in clients:
        with _recorded() as statements:
            visit = Visit(page, status=_status(client, page))
        if visit.status not in REFUSED:
            break
    assert visit.status in ALLOWED, f"{page.url} is answered with {visit.status}"
    visit.statements, visit.rows = len(statements), sum(rows for _, rows in statements)
    began = _cpu_seconds()
    for _ in range(rounds):
        start = time.perf_counter()
        _status(client, page)
        visit.seconds.append(time.perf_counter() - start)
        if len(visit.seconds) > 1 and visit.seconds[0] > PATIENCE_SECONDS:
            break
    visit.cpu_seconds = (_cpu_seconds() - began) / max(1, rounds and len(visit.seconds))
    return visit


def _status(client: Client, page: Page) -> int:
    monitoring.exposition._result = monitoring.readiness._result = None  # they are computed once a second only
    response = client.get(page.url)
    if response.streaming:
        next(iter(response.streaming_content))
        response.close()
    return int(response.status_code)


@contextmanager
def _recorded() -> Iterator[list[tuple[str, int]]]:
    """Record the statements of the block, each with the rows that it reads."""
    statements: list[tuple[str, int]] = []

    def record(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:  # noqa: FBT001
        is_query = sql.lstrip().startswith(("SELECT", "WITH", "(SELECT"))
        statements.append((sql, _rows_read(sql, params) if is_query else 0))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(record):
        yield statements


def _rows_read(sql: str, params: Any) -> int:
    with connection.connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {sql}", params)
        [[[plan]]] = cursor.fetchall()
    return round(_rows_of(plan["Plan"]))


def _rows_of(node: Mapping[str, Any]) -> float:
    """Return the rows that the scans of a plan read, without those that an index skipped."""
    read = node["Actual Rows"] + sum(node.get(f"Rows Removed by {by}", 0) for by in ("Filter", "Index Recheck"))
    own = read * node["Actual Loops"] if node["Node Type"].endswith("Scan") else 0
    return own + sum(map(_rows_of, node.get("Plans", ())))


def _cpu_seconds() -> float:
    return time.process_time() + cpu_of(connection.connection.info.backend_pid).total


def _figures(visit: Visit) -> dict[str, float]:
    return {
        "ms": visit.median * 1000,
        "CPU ms": visit.cpu_seconds * 1000,
        "statements": visit.statements,
        "rows read": visit.rows,
    }
