"""
The same kinds of values in query parameters.
"""

from base64 import b64encode
from urllib.parse import quote

import pytest
from django.contrib.auth import get_user_model

from tests.bad_input.rows import OneOf, one_of, rows
from tests.bad_input.scene import API
from tests.refusals import refused, send

LISTS = ["orders", "products", "stock", "payments", "notifications", "tokens", "signing-keys"]


def encoded(position: str) -> str:
    return quote(b64encode(position.encode("utf-8", "surrogatepass")).decode())


@pytest.fixture(autouse=True)
def _may_see_every_list(orders):
    get_user_model().objects.filter(username="ada").update(is_staff=True, is_superuser=True)


@rows(
    "cursor, lists",
    (71, one_of("x", "%ff", "é"), LISTS),
    (71, one_of(*map(encoded, ("p=\0", f"p={'x' * 65}", "p=\ud800", "o=-1", "o=x", "o=1e400", "r=x&p=1"))), LISTS),
    (71, encoded(f"r={'9' * 5_000}"), LISTS),
    (71, encoded("p=x y"), [name for name in LISTS if name not in {"products", "stock"}]),
)
def test_rejects_the_cursor(api, cursor, lists):
    for name in lists:
        problem = refused(api, "GET", f"{API}{name}/?cursor={cursor}")
        assert [(fault["code"], fault["parameter"]) for fault in problem["errors"]] == [("invalid_parameter", "cursor")]


@rows("cursor", (71, one_of("%00", "=", "A" * 8_000)))
def test_begins_at_the_first_page_by_the_empty_cursor(api, cursor):
    for name in LISTS:
        page, first = (send(api, "GET", f"{API}{name}/{query}") for query in (f"?cursor={cursor}", ""))
        assert (page.status_code, page.json()["results"]) == (200, first.json()["results"])


@rows(
    "query, parameter",
    (39, "products/?search=%00", "search"),
    (35, f"products/?search={'x' * 101}", "search"),
    (24, one_of("products/?sold_out=maybe", "products/?sold_out=True", "products/?sold_out=1"), "sold_out"),
    (24, "stock/?sold_out=yes", "sold_out"),
    (39, "stock/?sku_prefix=%00", "sku_prefix"),
    (47, one_of(*[f"orders/?status={status}" for status in ("paid", "CONFIRMED", "placed,confirmed")]), "status"),
    (39, "orders/?status=%00", "status"),
    (39, one_of(*[f"orders/?number={number}" for number in ("%00", "x" * 41, "K7Q4-M2X%D9%A0")]), "number"),
    (66, one_of(*[f"orders/?placed_after={time}" for time in ("yesterday", "1700000000")]), "placed_after"),
    (66, "orders/?placed_after=2026-13-01T00:00:00Z", "placed_after"),
    (66, "orders/?placed_after=0001-01-01T00:00:00%2B23:59", "placed_after"),
    (66, "orders/?placed_before=9999-12-31T23:59:59-23:59", "placed_before"),
    (66, one_of("orders/?placed_before=99999-01-01T00:00:00Z", "orders/?placed_before=%00"), "placed_before"),
    (71, one_of(*[f"payments/?order_id={order_id}" for order_id in ("x", "%00", "9" * 40)]), "order_id"),
    (47, "payments/?status=paid", "status"),
    (71, "notifications/?order_id='%20OR%201=1", "order_id"),
    (47, "notifications/?kind=spam", "kind"),
    (47, "notifications/?status=%F0%9F%98%80", "status"),
    (46, "orders/?customer__username=ada", "customer__username"),
    (46, "products/?price__lt=1", "price__lt"),
)
def test_rejects_the_filter(api, query, parameter):
    problem = refused(api, "GET", API + query)

    assert [(fault["code"], fault["parameter"]) for fault in problem["errors"]] == [("invalid_parameter", parameter)]


@rows(
    "search, matches",
    (42, one_of("%", "_", "\\", "' OR 1=1 --", '"; DROP TABLE orders_product; --', "ﬀ\u202e😀", "%ff"), 0),
    (42, "red-CHAIR", 1),
)
def test_searches_literally_for(api, search, matches):
    answer = send(api, "GET", f"{API}products/?search={search if search == '%ff' else quote(search)}")

    assert answer.status_code == 200
    assert len(answer.json()["results"]) == matches


QUANTITIES = ("-1", "-0", "1.0", "1e2", "%2B5", "%205%20", "1_0", "５", "0x10", "true", "null", "NaN")
LARGE_QUANTITIES = (2**31, 2**63, 10**20, "9" * 5_000)


def of_chairs(*quantities: object) -> OneOf:
    return one_of(*[f"quantity[RED-CHAIR]={quantity}" for quantity in quantities])


@rows(
    "query, code, parameter",
    (29, one_of("", "quantity[RED-CHAIR]=", "quantity[RED-CHAIR]=0"), "empty_order", "quantity"),
    (25, of_chairs(*QUANTITIES), "invalid_quantity", "quantity[RED-CHAIR]"),
    (20, of_chairs(*LARGE_QUANTITIES), "invalid_quantity", "quantity[RED-CHAIR]"),
    (27, "quantity[RED-CHAIR]=1001", "quantity_too_large", "quantity[RED-CHAIR]"),
    (30, "&".join(f"quantity[PALACE-{number}]=1" for number in range(101)), "too_many_lines", "quantity"),
    (32, "quantity[PALACE-0]=2", "total_too_large", "quantity"),
    (33, "quantity[GREEN-CHAIR]=1", "unknown_sku", "quantity[GREEN-CHAIR]"),
    (34, "quantity[OLD-LAMP]=1", "sku_not_available", "quantity[OLD-LAMP]"),
    (35, "quantity[]=1", "invalid_sku", "quantity[]"),
    (35, f"quantity[{'x' * 65}]=1", "invalid_sku", f"quantity[{'x' * 65}]"),
    (36, "quantity[%20RED-CHAIR]=1", "invalid_sku", "quantity[ RED-CHAIR]"),
    (39, "quantity[%00]=1", "invalid_sku", "quantity[\0]"),
    (40, "quantity[%ED%A0%80]=1", "invalid_sku", "quantity[\ufffd\ufffd\ufffd]"),
    (16, "quantity[RED-CHAIR]=1&quantity[RED-CHAIR]=2", "invalid_parameter", "quantity[RED-CHAIR]"),
    (46, "quantity[RED-CHAIR]=1&price=1", "invalid_parameter", "price"),
    (46, "quantity=1", "invalid_parameter", "quantity"),
    (46, "quantity[RED-CHAIR=1", "invalid_parameter", "quantity[RED-CHAIR"),
    (48, "quantity[RED-CHAIR]=1&expected_total=1", "invalid_parameter", "expected_total"),
)
def test_rejects_the_basket(api, query, code, parameter):
    problem = refused(api, "GET", f"{API}quote/?{query}")

    assert [(fault["code"], fault["parameter"]) for fault in problem["errors"]] == [(code, parameter)]


@rows("query", (14, one_of("format=xml", "format=%00", "format=../json")))
def test_rejects_the_format(api, query):
    for name in LISTS:
        assert refused(api, "GET", f"{API}{name}/?{query}")["code"] == "not_acceptable"
