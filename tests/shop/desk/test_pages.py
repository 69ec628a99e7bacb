"""Every page of the admin over a generated shop, as `python -m tests.bench --desk` asks for them."""

from itertools import groupby
from operator import attrgetter

import pytest
from django.db import connection
from django.utils import timezone

from tests.bench import desk_pages
from tests.bench.generated import generate
from tests.bench.products import open_shop

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="a shop of this size runs on PostgreSQL"),
]

ORDERS = 1_000
KIND = attrgetter("kind", "about")


@pytest.fixture
def generated() -> dict[str, float]:
    """A shop with so many orders, and its figures."""
    open_shop()
    return generate(ORDERS, now=timezone.now())


def one_of_each_kind(pages: list[desk_pages.Page]) -> list[desk_pages.Page]:
    """
    Return the last page of each kind, such as a filter of a list: all of them take minutes. Those that Django alone
    writes are left out.
    """
    of_shop = [page for page in pages if page.kind not in {"add", "history", "deletion"}]
    in_order = sorted(of_shop, key=KIND)
    return [list(of_kind)[-1] for _, of_kind in groupby(in_order, KIND)]


def test_no_page_takes_more_than_twenty_statements(generated):
    visits = desk_pages.visit_all(one_of_each_kind(list(desk_pages.every_page())), rounds=0)

    assert {visit.page.url: visit.flaw for visit in visits if visit.flaw} == {}
    assert {visit.page.url: visit.statements for visit in visits if visit.statements > desk_pages.MOST_STATEMENTS} == {}
    assert len(visits) > 100
    assert generated["deliveries"] > 9 * ORDERS
    figures = dict(desk_pages.figures_of(visits))
    assert figures["order, slowest: orders.order"]["most rows read"] >= 50
