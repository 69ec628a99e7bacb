"""
The shop that bad input must not change: products of each kind, and orders of Ada's and Bob's.
"""

import json
from typing import Any, NamedTuple
from uuid import UUID

from django.contrib.auth.base_user import AbstractBaseUser
from django.utils import timezone

from orders import placing
from orders.drafts import MAX_AMOUNT
from orders.models import Order, Product
from tests.factories import PASSWORD, make_draft

API = "/api/v1/"
ORDERS = f"{API}orders/"
TOKENS = f"{API}tokens/"
KEYS = f"{API}signing-keys/"
ACCOUNT = f"{API}account/"
SIGN_UPS = f"{API}sign-ups/"
PASSWORD_CHANGE, RESETS, CONFIRM = f"{API}account/password/", f"{API}password-resets/", f"{API}password-resets/confirm/"

LINE = {"sku": "RED-CHAIR", "quantity": 2}
ORDER = {"lines": [LINE], "payment_method": "tok_visa", "expected_total": 9_000}
LOGIN = {"username": "ada", "password": PASSWORD, "name": "till"}
KEY = {"name": "till", "algorithm": "hmac-sha256"}


def offer_products() -> None:
    palaces = [Product(sku=f"PALACE-{number}", name="Palace", price=MAX_AMOUNT) for number in range(100)]
    lamp, chair = Product(sku="OLD-LAMP", price=900, active=False), Product(sku="RED-CHAIR", price=4_500)
    Product.objects.bulk_create([chair, lamp, *palaces])


def place_orders(*, ada: AbstractBaseUser, bob: AbstractBaseUser) -> dict[str, UUID]:
    """
    Place two orders of Ada's, an open and a confirmed one, and one of Bob's; return their ids by name.
    """
    drafts = [make_draft(customer_id=customer.pk) for customer in (ada, ada, bob)]
    still_open, confirmed, of_bob = (placed.order.pk for placed in placing.place_orders(drafts, now=timezone.now()))
    Order.objects.filter(pk=confirmed).update(status="confirmed")
    return {"open": still_open, "confirmed": confirmed, "of_bob": of_bob}


class Literal(NamedTuple):
    """
    A text that stands in JSON as it is.
    """

    text: str


def order_body(**changes: Any) -> bytes:
    """
    Return the body of a valid order with these changes; an ellipsis leaves a member out.
    """
    return _written(ORDER | changes)


def order_with_line(**changes: Any) -> bytes:
    """
    Return the body of an order whose second line, at `#/lines/1`, has these changes.
    """
    return order_body(lines=[LINE, LINE | changes])


def login(**changes: Any) -> bytes:
    return _written(LOGIN | changes)


def key(**changes: Any) -> bytes:
    return _written(KEY | changes)


def password_change(**changes: Any) -> bytes:
    return _written({"current_password": PASSWORD, "new_password": "four green chairs"} | changes)


def confirmation(**changes: Any) -> bytes:
    return _written({"token": "link_" + 75 * "0", "new_password": "four green chairs"} | changes)


def account(**changes: Any) -> bytes:
    return _written(changes)


def _written(value: Any) -> bytes:
    if isinstance(value, Literal):
        return value.text.encode()
    if isinstance(value, dict):
        members = [
            json.dumps(name).encode() + b":" + _written(within) for name, within in value.items() if within is not ...
        ]
        return b"{" + b",".join(members) + b"}"
    if isinstance(value, list):
        return b"[" + b",".join(map(_written, value)) + b"]"
    return json.dumps(value).encode()
