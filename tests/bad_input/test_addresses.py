"""
Rows 71 and 72: URLs of nothing, and orders that cannot be cancelled.
"""

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.utils import timezone

from inventory.services import open_stock_items
from tests.bad_input.rows import one_of, rows
from tests.bad_input.scene import API, ORDERS, order_body
from tests.refusals import refused, send
from tests.snapshot import snapshot

OPERATIONS = [
    "GET orders/{name}/",
    "POST orders/{name}/cancel/",
    "GET payments/{name}/",
    "GET notifications/{name}/",
    "DELETE tokens/{name}/",
    "DELETE signing-keys/{name}/",
    "POST signing-keys/{name}/rotate/",
    "GET products/{name}/",
    "GET stock/{name}/",
]


@pytest.fixture
def clerk(api) -> Client:
    """
    A client of Ada's, who may view the stock too, so that every operation is open to her.
    """
    get_user_model().objects.filter(username="ada").update(is_staff=True, is_superuser=True)
    open_stock_items(["RED-CHAIR"], opening=1, now=timezone.now())
    return api


def problem_at(client: Client, operation: str, name: object) -> dict[str, object]:
    method, path = operation.split()
    return refused(client, method, API + path.format(name=name)) | {"request_id": ""}


@rows(
    "name",
    (71, one_of("7d5f6f0e-6c38-4c1b-9d2e-0a1f3b5c7d9e", "00000000-0000-0000-0000-000000000000", "1", "-1", "0")),
    (71, one_of("9" * 20, "9" * 400, "1e400", "null", "undefined", "NaN", "%00", "%0a", "..%2f", "..", "%2e%2e")),
    (71, one_of("..%2f..%2fetc%2fpasswd", "%ff", "%ED%A0%80", "%F0%9F%98%80", "é", "'%20OR%201=1", "*", "{}")),
    (71, one_of("A';%20DROP%20TABLE%20orders;--", "<script>", "GREEN-CHAIR", "OLD-LAMP")),
)
def test_finds_nothing_under(clerk, name):
    problems = [problem_at(clerk, operation, name) for operation in OPERATIONS]

    assert {problem["code"] for problem in problems} == {"not_found"}
    assert all(problem == problems[0] for problem in problems)


@pytest.mark.parametrize("path", ["v1/order/", "v1/orders//", "v1/orders/x/y/", "v1/../admin/", "v2/", "v1/%00"])
def test_row_71_finds_no_route_at(api, path):
    problem = refused(api, "GET", f"/api/{path}")

    assert problem["code"] == "not_found"


def test_row_72_does_not_cancel_a_final_order(api, orders):
    problem = refused(api, "POST", f"{ORDERS}{orders['confirmed']}/cancel/")

    assert problem["code"] == "invalid_state"


def test_row_72_cancels_an_order_once(api, orders):
    address = f"{ORDERS}{orders['open']}/cancel/"
    once = send(api, "POST", address)
    before = snapshot()

    again = send(api, "POST", address)

    assert snapshot() == before
    assert (once.status_code, again.status_code) == (200, 200)
    assert again.json() == once.json()


@pytest.mark.parametrize("debug", [True, False])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_row_71_does_not_redirect_an_unsafe_method_without_the_slash(api, settings, debug, method):
    settings.DEBUG = debug

    assert refused(api, method, ORDERS.rstrip("/"), order_body())["code"] == "not_found"


def test_row_71_redirects_a_get_without_the_slash(api):
    answer = send(api, "GET", f"{ORDERS.rstrip('/')}?status=placed")

    assert (answer.status_code, answer.headers["Location"]) == (301, f"{ORDERS}?status=placed")
