"""
Rows 71 to 73: addresses where nothing is, or nothing of one's own, and what cannot be done there.
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
from tests.bad_input.scene import API, ORDERS, wish
from tests.refusals import problem_of, refused, send
from tests.snapshot import snapshot

DOORS = [
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
    The ids of what is Bob's, by resource.
    """
    bob = get_user_model().objects.get(username="bob")
    key, _ = create_key(owner=bob, name="till", algorithm="hmac-sha256", now=timezone.now())
    paid, told = {"customer_id": str(bob.pk), "order_id": orders["of_bob"]}, {"kind": "order_confirmed"}
    return {
        "orders": orders["of_bob"],
        "payments": PaymentIntent.objects.create(amount=1, currency="GBP", created_at=timezone.now(), **paid).pk,
        "notifications": Notification.objects.create(**paid, **told, message_id=uuid4(), created_at=timezone.now()).pk,
        "tokens": Token.objects.create(user=bob, name="till")[0].pk,
        "signing-keys": key.pk,
    }


@pytest.fixture
def clerk(api) -> Client:
    """
    Ada, who may view the stock too, so that no door is closed to her.
    """
    get_user_model().objects.filter(username="ada").update(is_staff=True, is_superuser=True)
    open_stock_items(["RED-CHAIR"], opening=1, now=timezone.now())
    return api


def knock(client: Client, door: str, name: object) -> dict[str, object]:
    method, path = door.split()
    return refused(client, method, API + path.format(name=name)) | {"request_id": ""}


@rows(
    "name",
    *[
        (71, name)
        for name in (
            "7d5f6f0e-6c38-4c1b-9d2e-0a1f3b5c7d9e",
            "00000000-0000-0000-0000-000000000000",
            "1",
            "-1",
            "0",
            "9" * 20,
            "9" * 400,
            "1e400",
            "null",
            "undefined",
            "NaN",
            "%00",
            "%0a",
            "..%2f",
            "..%2f..%2fetc%2fpasswd",
            "..",
            "%2e%2e",
            "%ff",
            "%ED%A0%80",
            "%F0%9F%98%80",
            "é",
            "'%20OR%201=1",
            "A';%20DROP%20TABLE%20orders;--",
            "*",
            "{}",
            "<script>",
            "GREEN-CHAIR",
            "OLD-LAMP",
        )
    ],
)
def test_nothing_is_under(clerk, name):
    told = [knock(clerk, door, name) for door in DOORS]

    assert {problem["code"] for problem in told} == {"not_found"}
    assert all(problem == told[0] for problem in told)


@pytest.mark.parametrize("door", DOORS[:-2])
def test_row_71_what_is_anothers_is_not_there(clerk, of_bob, door):
    unknown = knock(clerk, door, uuid4())

    theirs = of_bob[door.split()[1].split("/")[0]]

    for name in (theirs, str(theirs).upper(), str(theirs).replace("-", ""), f"{theirs}%00", f"urn:uuid:{theirs}"):
        assert knock(clerk, door, name) == unknown


@pytest.mark.parametrize("path", ["v1/order/", "v1/orders//", "v1/orders/x/y/", "v1/../admin/", "v2/", "v1/%00"])
def test_row_71_no_door_is_at(api, path):
    problem = refused(api, "GET", f"/api/{path}")

    assert problem["code"] == "not_found"


def test_row_72_a_final_order_is_not_cancelled(api, orders):
    problem = refused(api, "POST", f"{ORDERS}{orders['confirmed']}/cancel/")

    assert problem["code"] == "invalid_state"


def test_row_72_cancelling_twice_is_cancelling_once(api, orders):
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
def test_row_73_nothing_else_can_be_done(clerk, orders, path):
    allowed = COLLECTIONS[path]
    for method in METHODS - {*allowed.split(", ")}:
        before = snapshot()
        answer = send(clerk, method, API + path.format(open=orders["open"]), b"{}")

        assert snapshot() == before
        assert problem_of(answer)["code"] == "method_not_allowed", method
        assert answer.headers["Allow"] == allowed


@pytest.mark.parametrize("path", ["/", "/healthz", "/problems/"])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "TRACE", "X"])
def test_row_73_nothing_can_be_done_to_a_page(path, method):
    assert refused(Client(), method, path)["code"] == "method_not_allowed"


@pytest.mark.parametrize("debug", [True, False])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_row_71_whoever_forgets_the_slash_changes_nothing_and_hears_of_it(api, settings, debug, method):
    settings.DEBUG = debug

    assert refused(api, method, ORDERS.rstrip("/"), wish())["code"] == "not_found"


def test_row_71_whoever_forgets_the_slash_and_only_reads_is_led_there(api):
    answer = send(api, "GET", f"{ORDERS.rstrip('/')}?status=placed")

    assert (answer.status_code, answer.headers["Location"]) == (301, f"{ORDERS}?status=placed")
