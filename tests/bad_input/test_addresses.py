"""
Rows 71 to 73: URLs of nothing, or of another customer's resources, and methods that are not allowed.
"""

from uuid import uuid4

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.utils import timezone

from inventory.services import open_stock_items
from notifications.models import Notification
from payments.models import PaymentIntent
from shop.accounts.models import Token
from shop.accounts.services import create_key
from tests.bad_input.rows import rows
from tests.bad_input.scene import API, ORDERS, order_body
from tests.refusals import problem_of, refused, send
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
def of_bob(orders) -> dict[str, object]:
    """
    The ids of Bob's resources, by collection.
    """
    bob = get_user_model().objects.get(username="bob")
    key, _ = create_key(owner=bob, name="till", algorithm="hmac-sha256", now=timezone.now())
    paid, kind = {"customer_id": str(bob.pk), "order_id": orders["of_bob"]}, {"kind": "order_confirmed"}
    return {
        "orders": orders["of_bob"],
        "payments": PaymentIntent.objects.create(amount=1, currency="GBP", created_at=timezone.now(), **paid).pk,
        "notifications": Notification.objects.create(**paid, **kind, message_id=uuid4(), created_at=timezone.now()).pk,
        "tokens": Token.objects.create(user=bob, name="till")[0].pk,
        "signing-keys": key.pk,
    }


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
    *[(71, name) for name in ("7d5f6f0e-6c38-4c1b-9d2e-0a1f3b5c7d9e", "00000000-0000-0000-0000-000000000000", "1")],
    *[(71, name) for name in ("-1", "0", "9" * 20, "9" * 400, "1e400", "null", "undefined", "NaN", "%00", "%0a")],
    *[(71, name) for name in ("..%2f", "..%2f..%2fetc%2fpasswd", "..", "%2e%2e", "%ff", "%ED%A0%80", "%F0%9F%98%80")],
    *[(71, name) for name in ("é", "'%20OR%201=1", "A';%20DROP%20TABLE%20orders;--", "*", "{}", "<script>")],
    *[(71, name) for name in ("GREEN-CHAIR", "OLD-LAMP")],
)
def test_finds_nothing_under(clerk, name):
    problems = [problem_at(clerk, operation, name) for operation in OPERATIONS]

    assert {problem["code"] for problem in problems} == {"not_found"}
    assert all(problem == problems[0] for problem in problems)


@pytest.mark.parametrize("operation", OPERATIONS[:-2])
def test_row_71_another_customers_resource_is_like_none(clerk, of_bob, operation):
    unknown = problem_at(clerk, operation, uuid4())

    theirs = of_bob[operation.split()[1].split("/")[0]]

    for name in (theirs, str(theirs).upper(), str(theirs).replace("-", ""), f"{theirs}%00", f"urn:uuid:{theirs}"):
        assert problem_at(clerk, operation, name) == unknown


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


METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "PROPFIND", "X"}
COLLECTIONS = {
    "": "GET, HEAD, OPTIONS",
    "orders/": "GET, POST, HEAD, OPTIONS",
    "orders/{open}/": "GET, HEAD, OPTIONS",
    "orders/{open}/cancel/": "POST, OPTIONS",
    "products/": "GET, HEAD, OPTIONS",
    "products/RED-CHAIR/": "GET, HEAD, OPTIONS",
    "quote/": "GET, HEAD, OPTIONS",
    "stock/": "GET, HEAD, OPTIONS",
    "payments/": "GET, HEAD, OPTIONS",
    "notifications/": "GET, HEAD, OPTIONS",
    "tokens/": "GET, POST, HEAD, OPTIONS",
    "signing-keys/": "GET, POST, HEAD, OPTIONS",
}


@pytest.mark.parametrize("path", COLLECTIONS)
def test_row_73_allows_no_other_method(clerk, orders, path):
    allowed = COLLECTIONS[path]
    for method in METHODS - {*allowed.split(", ")}:
        before = snapshot()
        answer = send(clerk, method, API + path.format(open=orders["open"]), b"{}")

        assert snapshot() == before
        assert problem_of(answer)["code"] == "method_not_allowed", method
        assert answer.headers["Allow"] == allowed


@pytest.mark.parametrize("path", ["/", "/healthz", "/problems/"])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "TRACE", "X"])
def test_row_73_allows_no_other_method_on_a_page(path, method):
    assert refused(Client(), method, path)["code"] == "method_not_allowed"


@pytest.mark.parametrize("debug", [True, False])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_row_71_does_not_redirect_an_unsafe_method_without_the_slash(api, settings, debug, method):
    settings.DEBUG = debug

    assert refused(api, method, ORDERS.rstrip("/"), order_body())["code"] == "not_found"


def test_row_71_redirects_a_get_without_the_slash(api):
    answer = send(api, "GET", f"{ORDERS.rstrip('/')}?status=placed")

    assert (answer.status_code, answer.headers["Location"]) == (301, f"{ORDERS}?status=placed")
