"""
Orders in a shop whose contexts run as four services. They are placed together, then each has to end as it would in one
program. Prices and stock are those of the demo.
"""

import json
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest

from shop.settings.groups import CONTEXTS
from tests.processes import manage, run
from tests.split.shops import Browser, Customer, SplitShop
from tests.tutorials import blocks_of, run_blocks
from tests.waiting import eventually

pytestmark = pytest.mark.split

PATIENCE_SECONDS = 90

CHAIR = 4_500
REMINDER = "payment_due_soon"
CONFIRMED = ["placed", "awaiting_payment", "confirmed"]
DECLINED = ["placed", "awaiting_payment", "cancelled", "payment_failed"]


class Journey(NamedTuple):
    """What is ordered, and how that ends: the history, the mails, and status and refunds of the payment."""

    token: str
    history: list[str]
    mails: list[str]
    payment: str
    quantity: int = 1
    sku: str = "RED-CHAIR"
    price: int = CHAIR
    refunded: int = 0
    then: Callable[[Customer, str], Any] = lambda customer, order: None
    """What the customer does after the order is placed."""


def cancel_while_paying(customer: Customer, order: str) -> None:
    eventually(lambda: customer.get(order)["status"] == "awaiting_payment")
    assert customer.cancel(order) == 200


PAID = {"history": CONFIRMED, "mails": ["order_confirmed", "order_received"], "payment": "succeeded"}
UNPAID = {"history": DECLINED, "mails": ["order_received", "payment_failed"], "payment": "failed"}

JOURNEYS = {
    "paid": Journey("visa", **PAID),
    "paid slowly": Journey("slow", **PAID),
    "paid although the gateway failed once": Journey("error_once", **PAID),
    "paid with two callbacks": Journey("callback_twice", **PAID),
    "paid with a callback before the answer": Journey("callback_before_answer", **PAID),
    "paid, the answer was lost": Journey("timeout", **PAID),
    "paid twice, refunded once": Journey(
        "captured_twice",
        CONFIRMED,
        ["order_confirmed", "order_received", "payment_refunded"],
        "succeeded",
        refunded=CHAIR,
    ),
    "declined": Journey("declined", **UNPAID),
    "out of stock": Journey(
        "visa",
        ["placed", "cancelled", "out_of_stock"],
        ["order_received", "out_of_stock"],
        "",
        quantity=3,
        sku="MING-VASE",
        price=880_000,
    ),
    "not paid in time": Journey(
        "pending",
        ["placed", "awaiting_payment", "cancelled", "expired"],
        ["order_expired", "order_received", REMINDER],
        "cancelled",
    ),
    "cancelled while it is paid": Journey(
        "pending",
        ["placed", "awaiting_payment", "cancelled", "by_customer"],
        ["order_cancelled", "order_received"],
        "cancelled",
        then=cancel_while_paying,
    ),
}


@pytest.fixture(scope="module")
def customer(shop: SplitShop) -> Customer:
    return shop.customer


@pytest.fixture(scope="module")
def orders(customer: Customer) -> dict[str, str]:
    """Place the order of each journey; return their URLs."""
    placed = {}
    for name, journey in JOURNEYS.items():
        placed[name] = customer.place(journey.sku, quantity=journey.quantity, token=journey.token, price=journey.price)
        journey.then(customer, placed[name])
    return placed


def _without_reminder(mails: list[str], journey: Journey) -> list[str]:
    """A busy machine may take longer to pay than a reminder waits."""
    return [kind for kind in mails if kind != REMINDER or kind in journey.mails]


@pytest.mark.parametrize("name", JOURNEYS)
def test_an_order(name, customer, orders):
    journey, order = JOURNEYS[name], orders[name]

    eventually(lambda: customer.is_final(order), within=PATIENCE_SECONDS)
    eventually(lambda: _without_reminder(customer.mails(order), journey) == journey.mails)

    assert customer.history(order) == journey.history
    payment = customer.payment(order)
    assert payment.get("status", "") == journey.payment
    assert sum(refund["amount"] for refund in payment.get("refunds", [])) == journey.refunded


def test_the_audit_over_the_databases_of_all_services_finds_nothing(shop, customer, orders):
    eventually(lambda: all(customer.is_final(order) for order in orders.values()), within=PATIENCE_SECONDS)

    audited = run(manage("audit", "--json"), **shop.operators_settings)

    report = json.loads(audited.output)
    assert [check for check in report["checks"] if check["verdict"] == "violated"] == []
    assert report["verdict"] in {"ok", "unknown"}


def test_the_trace_of_an_order_leads_through_all_services(shop, orders):
    number = shop.customer.get(orders["paid"])["number"]

    traced = run(manage("trace_order", number, "--json"), **shop.operators_settings)

    contexts = {entry["context"] for entry in json.loads(traced.output)["timeline"]}
    assert contexts == {"orders", "inventory", "payments", "notifications", "messaging"}


def test_the_tutorial_orders_and_traces_over_all_databases(shop, tmp_path):
    *commands, order, trace = blocks_of("tutorial/first-split.md")
    assert commands == [
        "make run",
        "redis-server --appendonly yes --maxmemory-policy noeviction",
        "make split TRANSPORT=redis",
    ]
    databases = {f"sqlite:///shop-{context}.sqlite3": shop.database_of(context) for context in CONTEXTS}
    places = {"127.0.0.1:8000": urlsplit(shop.address).netloc} | databases
    simulator = shop.operators_settings["PAYMENT_SIMULATOR_URL"]

    outcome = run_blocks([order, trace], places, tmp_path, PAYMENT_SIMULATOR_URL=simulator)

    confirmed, timeline = outcome.outputs
    assert outcome.failed == []
    assert '"sku":"DOOR-MAT"' in confirmed
    for subscriber in ("inventory.commit_reservation", "payments.take_payment", "notifications.send_confirmation"):
        assert subscriber in timeline


def test_an_order_that_is_sent_again_is_the_same_order(customer):
    again = {"Idempotency-Key": "basket-1"}

    assert customer.place("DOOR-MAT", price=1_200, **again) == customer.place("DOOR-MAT", price=1_200, **again)


def test_a_token_that_is_revoked_is_refused_by_every_service(shop, customer):
    tokens = "/api/v1/tokens/"
    login = {"username": "ada", "password": "ada-counts-chairs", "name": "till"}
    issued = Customer(shop.address).request("POST", tokens, login).json()
    till = Customer(shop.address, issued["token"])
    assert till.get("/api/v1/payments/")["results"]

    assert customer.request("DELETE", f"{tokens}{issued['id']}/").status == 204

    eventually(lambda: till.request("GET", "/api/v1/payments/").status == 401)
    assert till.request("GET", "/api/v1/orders/").status == 401


def test_a_person_sees_payments_and_chooses_notifications_after_one_login(shop, orders):
    person = Browser(shop.address)
    person.log_in("ada", "ada-counts-chairs")

    payments = person.get("/api/v1/payments/")
    preferences = "/api/v1/notification-preferences/"
    form = {"shown": "order_received email"}
    unproven = person.post(preferences, form, csrf="")
    saved = person.post(preferences, form)

    assert (payments.status, "ada" in payments.data.decode()) == (200, True)
    assert unproven.status == 403
    assert saved.status == 303
    assert "Your choice is saved." in person.get(preferences).data.decode()
    chosen = shop.customer.get(preferences)["preferences"]
    assert {"kind": "order_received", "channel": "email", "is_on": False}.items() <= chosen[0].items()


def test_a_customer_signs_up_resets_the_password_and_is_erased(shop):
    email, visitor = "eve.quokka@example.net", Customer(shop.address)
    assert visitor.request("POST", "/api/v1/sign-ups/", {"email": email}).status == 202
    chosen = {"token": shop.mailed_link(email, "/account/sign-up/"), "new_password": "four green chairs"}
    assert visitor.request("POST", "/api/v1/sign-ups/confirm/", chosen).status == 201
    assert visitor.request("POST", "/api/v1/password-resets/", {"email": email}).status == 202
    changed = {"token": shop.mailed_link(email, "/account/password-reset/"), "new_password": "five blue tables"}
    assert visitor.request("POST", "/api/v1/password-resets/confirm/", changed).status == 204

    logins = {"username": email, "name": "till"}
    issued = visitor.request("POST", "/api/v1/tokens/", logins | {"password": "five blue tables"}).json()
    assert visitor.request("POST", "/api/v1/tokens/", logins | {"password": "four green chairs"}).status == 401
    assert Customer(shop.address, issued["token"]).get("/api/v1/payments/")["results"] == []
    assert "notifications_notification" in _tables_naming(shop, "notifications", email)
    eventually(lambda: _erase(shop, email) == 0)
    eventually(lambda: [_tables_naming(shop, context, email) for context in CONTEXTS] == ["", "", "", ""])


def test_a_customer_is_erased_in_all_services(shop, customer, orders):
    eventually(lambda: all(customer.is_final(order) for order in orders.values()), within=PATIENCE_SECONDS)
    email = customer.get(orders["paid"])["email"]
    assert "orders_order" in _tables_naming(shop, "orders", email)
    assert "messaging_outboxmessage" in _tables_naming(shop, "inventory", email)

    eventually(lambda: _erase(shop, "ada") == 0, within=PATIENCE_SECONDS)  # not while an order is open

    eventually(lambda: [_tables_naming(shop, context, email) for context in CONTEXTS] == ["", "", "", ""])


def _erase(shop: SplitShop, customer: str) -> int:
    return run(manage("erase_customer", customer, "--yes"), **shop.settings_of("orders")).status


def _tables_naming(shop: SplitShop, context: str, text: str) -> str:
    """The tables of a service in which a row has this text."""
    code = f"from tests.canaries import tables_naming; print(*tables_naming([{text!r}]))"
    found = run(manage("shell", "--verbosity=0", "-c", code), **shop.settings_of(context))
    assert found.status == 0, found.errors
    return found.output.strip()
