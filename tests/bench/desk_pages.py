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
from itertools import groupby, islice
from operator import attrgetter
from statistics import median
from typing import Any
from urllib.parse import urlencode, urlsplit

from django.conf import settings
from django.contrib import admin
from django.contrib.admin.utils import quote
from django.contrib.admindocs.views import simplify_regex
from django.contrib.auth import get_user_model
from django.contrib.auth import models as auth
from django.db import connection
from django.db.models import Model
from django.test import Client, RequestFactory, override_settings
from django.urls import resolve, reverse
from django.utils.html import escape

from messaging.dead_letter_pages import group_url
from messaging.dead_letters import Group, groups_at_a_glance
from messaging.models import Delivery, Resolution, Worker
from orders.models import Order
from payments.models import Capture
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
PAGES_OF_ROWS = {Order: "order", get_user_model(): "customer"}
LOYAL_CUSTOMER = 1
"""Who has placed one of fifty orders."""

REFUSED = (403, 404)

OF_DJANGO = re.compile(
    r"/admin/((login|logout|second-factor(/code)?|password_change(/done)?|autocomplete|jsi18n)/|r/.*|<url>|<app_label>/"
    r"|\w+/\w+/(<path:object_id>|<id>/password)/)"
)
"""Pages that read no rows of the shop, and addresses that redirect."""


@dataclass(frozen=True, kw_only=True)
class Page:
    kind: str
    """Such as "filter of a list"."""
    about: str = ""
    """Such as "orders.order"."""
    url: str
    status: int = 200
    shows: str = ""
    """A text that it has to show."""
    has_rows: bool | None = None
    """Whether it has to list rows, or has to list none. None: it lists none, or a filter may choose none."""


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
    listed: int | None = None
    """Rows that it lists."""
    flaw: str = ""
    """What it does not show, although it should. Its figures say nothing then."""

    @property
    def median(self) -> float:
        return median(self.seconds or [0])

    @property
    def is_above(self) -> bool:
        return self.median > MOST_SECONDS or self.statements > MOST_STATEMENTS


def operator() -> Client:
    """Return a client in which an operator is logged in: a member of all groups."""
    olga, _ = get_user_model().objects.get_or_create(username="olga", defaults={"is_staff": True})
    olga.groups.set(auth.Group.objects.all())
    return _client_of(olga)


def owner() -> Client:
    """Return a client in which a user is logged in who may see what no group may."""
    is_owner = {"is_staff": True, "is_superuser": True}
    return _client_of(get_user_model().objects.get_or_create(username="owner", defaults=is_owner)[0])


def visit_all(pages: Iterable[Page], *, rounds: int = ROUNDS) -> list[Visit]:
    """Ask for each page as an operator: once to warm up, then so many times, at least twice if it takes long."""
    clients = [operator(), owner()]
    with override_settings(ALLOWED_HOSTS=["testserver"]):
        return [_visit(page, clients, rounds) for page in pages]


def figures_of(visits: Sequence[Visit]) -> Iterator[tuple[str, dict[str, float]]]:
    """
    Yield the figures by kind of page, of its slowest page, and of each page that is above a limit. A page with a flaw
    is named, and counts in no other figure.
    """
    sound = sorted((visit for visit in visits if not visit.flaw), key=lambda visit: visit.page.kind)
    for kind, found in groupby(sound, key=lambda visit: visit.page.kind):
        of_kind = list(found)
        worst = max(of_kind, key=attrgetter("median"))
        yield f"{kind}, slowest: {worst.page.about or worst.page.url}", _figures(of_kind, worst)
    yield "all", _figures(sound, max(sound, key=attrgetter("median")))
    for visit in sound:
        if visit.is_above:
            limits = f"above {MOST_SECONDS * 1000:.0f} ms or {MOST_STATEMENTS} statements"
            yield f"{limits}: {visit.page.url}", _figures([visit], visit)
    for visit in visits:
        if visit.flaw:
            yield f"void, {visit.flaw}: {visit.page.url}", {"pages": 0}


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
        yield from _pages_of_list(model, about, request)
        may_add, may_delete = about.has_add_permission(request), about.has_delete_permission(request)
        yield Page(kind="add", about=_name(model), url=_url(model, "add"), status=200 if may_add else 403)
        for row in _examples(model):
            of_row = {"about": _name(model), "shows": str(row)}
            yield Page(kind=PAGES_OF_ROWS.get(model, "row"), url=_url(model, "change", row.pk), **of_row)
            yield Page(kind="history", url=_url(model, "history", row.pk), **of_row)
            url = _url(model, "delete", row.pk)
            yield Page(kind="deletion", url=url, **of_row) if may_delete else Page(kind="deletion", url=url, status=403)


def _pages_of_list(model: type[Model], about: Any, request: Any) -> Iterator[Page]:
    listed, url, name = about.get_changelist_instance(request), _url(model, "changelist"), _name(model)
    all_rows = {"about": name, "has_rows": model not in _empty_models()}
    yield Page(kind="list", url=url, **all_rows)
    yield Page(kind="last page of a list", url=f"{url}?p={listed.paginator.num_pages}", **all_rows)
    if hasattr(about, "exported"):
        yield Page(kind="first bytes of an export", url=f"{url}export/", **all_rows)
    for term in _terms(model, about) if about.search_fields else ():
        query = urlencode({"q": term})
        yield Page(kind="search of a list", about=name, url=f"{url}?{query}", has_rows=term != NOTHING)
    for query in _filters(listed):
        yield Page(kind="filter of a list", about=name, url=url + query)
    for column in _sortable(listed):
        yield from (Page(kind="sorted list", url=f"{url}?o={sign}{column}", **all_rows) for sign in ("", "-"))


def _name(model: type[Model]) -> str:
    return model._meta.label_lower


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
        yield from (row.customer.username, line.sku, Capture.objects.latest("pk").reference)
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
    some = groups_at_a_glance()
    yield Page(kind="home", url=reverse("admin:index"), shows=some[0].error_class if some else "")
    for app in {model._meta.app_label for model in admin.site._registry}:
        yield Page(kind="lists of an app", url=reverse("admin:app_list", args=[app]), shows="model-")
    yield Page(kind="/livez", url=reverse("livez"))
    yield Page(kind="/readyz", url=reverse("readyz"), status=503 if settings.MONITORING.ready_workers else 200)
    yield Page(kind="/metrics", url=reverse("metrics"), shows="shop_open_orders")
    yield from _pages_of_messaging(some)
    yield from _confirmations()
    for route in ("", "order-confirmed/en/", "order-confirmed/en/mail/"):
        yield Page(kind="preview of a message", url=f"{reverse('admin:notifications_previews')}{route}")


def _pages_of_messaging(groups: Sequence[Group]) -> Iterator[Page]:
    subscriber = "notifications.send_email"
    yield Page(kind="backlog by subscriber", url=reverse("admin:messaging_backlog"), shows=subscriber)
    yield Page(kind="groups of dead letters", url=reverse("admin:messaging_groups"), has_rows=bool(groups))
    pause = reverse("admin:messaging_pause", query={"subscriber": subscriber})
    yield Page(kind="pause of a subscriber", url=pause, shows=subscriber)
    for worker in Worker.objects.all():
        url = reverse("admin:messaging_end_worker", args=[worker.number])
        yield Page(kind="end of a worker", url=url, shows=str(worker.process))
    for group in groups[:3]:
        of_group = {"about": group.subscriber, "shows": group.subscriber, "has_rows": True}
        yield Page(kind="group of dead letters", url=group_url("group", group.identity), **of_group)
        for name in REHEARSALS:
            yield Page(kind="rehearsal of a group", url=group_url(name, group.identity), **of_group)
    for filters, has_rows in _letters():
        for name in REHEARSALS:
            url = reverse(f"admin:messaging_{name}", query=filters)
            yield Page(kind="rehearsal of a filter", about=", ".join(filters) or "all", url=url, has_rows=has_rows)
    for resolution in Resolution.objects.all()[:10]:
        url = reverse("admin:messaging_resolution", args=[resolution.pk])
        yield Page(kind="result of a replay or discard", url=url, shows=str(resolution))


def _letters() -> Iterator[tuple[Mapping[str, object], bool]]:
    """Yield filters of dead letters, each with whether there are any: none, each alone, and two together."""
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
    yield {}, bool(letter)
    yield from (({name: value}, True) for name, value in filters.items())
    yield {"event_type": "orders.order_placed", "error": NOTHING}, False
    yield {"event_type": NOTHING}, False


def _confirmations() -> Iterator[Page]:
    for order in _examples(Order):
        parts = order_panels.parts_of(order.pk)
        for action in order_panels.actions_of(parts, may=lambda permission: True):
            url = reverse("admin:orders_order_do", args=[order.pk, action.name])
            yield Page(kind="confirmation of an action", about=action.name, url=url, shows=f"{action.label}: {order}")


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
            answer = _ask(client, page)
        if answer.status not in REFUSED:
            break
    visit = Visit(page, listed=answer.listed, flaw=answer.flaw_of(page))
    visit.statements, visit.rows = len(statements), sum(rows for _, rows in statements)
    began = _cpu_seconds()
    for _ in range(rounds):
        start = time.perf_counter()
        _ask(client, page)
        visit.seconds.append(time.perf_counter() - start)
        if len(visit.seconds) > 1 and visit.seconds[0] > PATIENCE_SECONDS:
            break
    visit.cpu_seconds = (_cpu_seconds() - began) / max(1, len(visit.seconds))
    return visit


@dataclass(frozen=True)
class _Answer:
    status: int
    text: str
    listed: int | None

    def flaw_of(self, page: Page) -> str:
        """Return what the page should show and does not; empty if it is as it should be."""
        if self.status != page.status:
            return f"status {self.status} instead of {page.status}"
        if escape(page.shows) not in self.text:
            return f"without {page.shows!r}"
        if page.has_rows is not None and bool(self.listed) != page.has_rows:
            return f"{self.listed} rows"
        return ""


def _ask(client: Client, page: Page) -> _Answer:
    monitoring.exposition._result = monitoring.readiness._result = None  # they are computed once a second only
    response = client.get(page.url)
    if response.streaming:
        lines = list(islice(response.streaming_content, 2))
        response.close()
        return _Answer(response.status_code, b"".join(lines).decode(), len(lines) - 1)
    return _Answer(response.status_code, response.content.decode(), _listed(response))


def _listed(response: Any) -> int | None:
    """Return how many rows a page lists; None if it is no list."""
    about = getattr(response, "context_data", None) or {}
    rows = about["cl"].result_list if "cl" in about else about.get("letters", about.get("groups"))
    return None if rows is None else len(rows)


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


def _figures(visits: Sequence[Visit], slowest: Visit) -> dict[str, float]:
    return {
        "pages": len(visits),
        "without rows": sum(visit.listed == 0 for visit in visits),
        "median ms": median(visit.median for visit in visits) * 1000,
        "slowest ms": slowest.median * 1000,
        "its CPU ms": slowest.cpu_seconds * 1000,
        "most CPU ms": max(visit.cpu_seconds for visit in visits) * 1000,
        "most statements": max(visit.statements for visit in visits),
        "most rows read": max(visit.rows for visit in visits),
    }
