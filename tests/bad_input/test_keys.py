"""
Rows 53 to 58: idempotency keys that are missing, invalid or in use.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.contrib.auth import get_user_model
from django.db import connection

from messaging.kernel import databases
from orders.models import Order
from tests.bad_input.rows import one_of, rows
from tests.bad_input.scene import LINE, ORDERS, order_body
from tests.factories import api_of
from tests.refusals import problem_of, refused, send
from tests.snapshot import snapshot


@contextmanager
def another_in_transaction(name: str) -> Iterator[None]:
    """
    Hold the lock of the transaction with this name, as another request would.
    """
    if connection.vendor == "sqlite":
        with databases._named(name):
            yield
    else:
        other = connection.copy()
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", [name])
            yield
        other.close()


def test_row_53_requires_a_key():
    problem = refused(api_of("ada"), "POST", ORDERS, order_body())

    assert problem["code"] == "idempotency_key_missing"
    assert [fault["header"] for fault in problem["errors"]] == ["Idempotency-Key"]


@rows(
    "key",
    (54, one_of("", " ", '""', '"', "k" * 256, f'"{"k" * 256}"', "k" * 100_000, "zwölf", "two words", "tab\t")),
    (54, one_of("😀".encode().decode("latin-1"), "nul\0", "del\x7f", "line\nbreak", "one,two", "basket-1, basket-2")),
    (54, one_of('a"b', "back\\slash", '"basket-1', 'basket-1"')),
)
def test_rejects_the_key(api, key):
    problem = refused(api, "POST", ORDERS, order_body(), Idempotency_Key=key)

    assert problem["code"] == "idempotency_key_invalid"
    assert [fault["header"] for fault in problem["errors"]] == ["Idempotency-Key"]


@pytest.mark.parametrize("key", ["basket-1", '"basket-1"'])
def test_row_55_repeats_the_first_response(api, key):
    first = send(api, "POST", ORDERS, order_body())
    before = snapshot()

    again = send(api, "POST", ORDERS, order_body(), Idempotency_Key=key)

    assert snapshot() == before
    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.headers["Location"] == first.headers["Location"]


def test_row_55_repeats_it_for_the_same_values_in_other_bytes(api):
    first = send(api, "POST", ORDERS, order_body())

    again = send(
        api, "POST", ORDERS, order_body().replace(b":", b" : "), content_type="application/json; charset=UTF-8"
    )

    assert again.content == first.content


@rows(
    "body",
    (56, order_body(note="Ring twice")),
    (56, order_body(lines=[LINE, LINE], expected_total=18_000)),
    (56, order_body(payment_method="tok_other")),
    (56, order_body(email="other@example.com")),
    (56, order_body(expected_total=9_001)),
)
def test_rejects_the_same_key_for(api, body):
    send(api, "POST", ORDERS, order_body())

    assert refused(api, "POST", ORDERS, body)["code"] == "idempotency_key_reused"


def test_row_57_rejects_a_request_that_is_in_progress(api):
    ada = get_user_model().objects.get(username="ada")
    before = snapshot()

    with another_in_transaction(f"place order {ada.pk} basket-1"):
        answer = send(api, "POST", ORDERS, order_body())

    assert snapshot() == before
    assert problem_of(answer)["code"] == "request_in_progress"
    assert int(answer.headers["Retry-After"]) >= 1


def test_row_58_separates_the_keys_of_customers(api):
    of_ada = send(api, "POST", ORDERS, order_body()).json()

    of_bob = send(api_of("bob"), "POST", ORDERS, order_body(note="mine"), Idempotency_Key="basket-1")

    assert of_bob.status_code == 201
    assert "Idempotent-Replayed" not in of_bob.headers
    assert {str(pk) for pk in Order.objects.filter(idempotency_key="basket-1").values_list("pk", flat=True)} == {
        of_ada["id"],
        of_bob.json()["id"],
    }
