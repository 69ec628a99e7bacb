"""
Rows 39 to 50, and 80: other invalid values of an order.
"""

import json
import string

from orders.models import Order, Product
from tests.bad_input.rows import one_of, rows
from tests.bad_input.scene import KEYS, ORDERS, TOKENS, Literal, key, login, order_body, order_with_line
from tests.refusals import assert_fault, refused, send


@rows("text", (39, "RED\0CHAIR"), (40, one_of("\ud800", "\udc00\ud800")))
def test_rejects_in_any_text(api, text):
    names = ["note", "email", "phone", "payment_method", "currency", "unheard_of", text]
    bodies = [order_with_line(sku=text), *(order_body(**{name: text}) for name in names)]

    assert {refused(api, "POST", ORDERS, body)["code"] for body in bodies} == {"invalid_characters"}


@rows(
    "note",
    (42, one_of("A'; DROP TABLE orders;--", "' OR 1=1", " kept as it is ", string.printable)),
    (42, "<script>alert(1)</script> {{ 7*7 }} %s \\ \r\n\t ✉ 😀 " + "\u202e"),
)
def test_stores_the_note_unchanged(api, note):
    answer = send(api, "POST", ORDERS, order_body(note=note))

    assert answer.status_code == 201
    assert answer.json()["note"] == note
    assert Order.objects.get(pk=answer.json()["id"]).note == note


@rows(
    "name, value, code",
    (44, "email", f"{'a' * 10_000}@example.com", "invalid_email"),
    (44, "email", f"{'a' * 60}@{'b' * 60}.{'c' * 60}.{'d' * 60}.{'e' * 60}.example.com", "invalid_email"),
    (44, "email", one_of("ada@example.com,eve@example.com", "ada@example.com eve@example.com"), "invalid_email"),
    (44, "email", one_of("ada@bücher.example", "ädä@example.com", "ada@example.com\n"), "invalid_email"),
    (44, "email", one_of(" ada@example.com", "ada@example.com\r\nBcc: eve@example.com"), "invalid_email"),
    (44, "email", one_of("Ada <ada@example.com>", "ada", "@", "ada@", "@example.com"), "invalid_email"),
    (44, "email", one_of("ada@@example.com", "ada@exa_mple.com", '"ada"@example.com'), "invalid_email"),
    (44, "email", one_of('"ada@example.com,eve"@example.com', '"\b"@example.com'), "invalid_email"),
    (44, "email", one_of("ada@[127.0.0.1]", "ada@[IPv6:::1]"), "invalid_email"),
    (44, "email", one_of(5, None, ["ada@example.com"], {}, True), "invalid_email"),
    (45, "phone", one_of("0113 496 0000", "01134960000", "+0113496000", "+44"), "invalid_phone"),
    (45, "phone", one_of("+44 113 496 0000", "+44-113-4960000", "+1234567890123456"), "invalid_phone"),
    (45, "phone", one_of("+441134960000\n", "＋441134960000", "+٤٤١١٣٤٩٦٠٠٠٠", "tel:+441134960000"), "invalid_phone"),
    (45, "phone", one_of(441134960000, None, []), "invalid_phone"),
    (49, "currency", one_of("usd", "XXX", "gbp", "GBP ", "", "£", 826, None, []), "currency_mismatch"),
    (50, "expected_total", one_of(0.1, 9_000.0, -(2**63), 2**63, 10**20), "invalid_amount"),
    (50, "expected_total", one_of(*map(Literal, ("9e3", "-0", "1e999999", "-1", "1e400"))), "invalid_amount"),
    (50, "expected_total", Literal("9000.00"), "invalid_amount"),
    (50, "expected_total", one_of("1_000", "9000", "90.00", ""), "invalid_amount"),
    (50, "expected_total", one_of(True, None, [], {"amount": 9_000}, ...), "invalid_amount"),
    (42, "payment_method", one_of("", "t" * 65, "  ", 5, None, [], {}, True, ...), "invalid_payment_method"),
    (42, "note", one_of("n" * 501, "😀" * 501, 5, None, [], {}, False), "invalid_note"),
)
def test_rejects(api, name, value, code):
    problem = refused(api, "POST", ORDERS, order_body(**{name: value}))

    assert_fault(problem, code, f"#/{name}")


@rows(
    "name",
    (46, one_of("price", "unit_price", "total", "discount", "Expected_Total", "line", "amount")),
    (47, one_of("status", "paid", "user", "id", "created_at", "customer_id", "is_staff", "__proto__", "refunded")),
    (47, "history"),
    (80, one_of("callback_url", "webhook", "return_url")),
)
def test_rejects_the_unknown_field(api, name):
    places = [
        (ORDERS, order_body, "#/"),
        (ORDERS, order_with_line, "#/lines/1/"),
        (TOKENS, login, "#/"),
        (KEYS, key, "#/"),
    ]

    for path, write, at in places:
        assert_fault(refused(api, "POST", path, write(**{name: 1})), "unknown_field", at + name)


@rows(
    "name, pointer",
    (46, "a/b", "#/a~1b"),
    (46, "a~b", "#/a~0b"),
    (46, "~1", "#/~01"),
    *[(46, name, f"#/{name}") for name in ("", "#", "0", "prix\xe9", "non_field_errors", "constructor")],
)
def test_points_to(api, name, pointer):
    assert_fault(refused(api, "POST", ORDERS, order_body(**{name: 1})), "unknown_field", pointer)


def test_row_46_names_at_most_a_hundred_fields(api):
    problem = refused(api, "POST", ORDERS, json.dumps({str(number): 1 for number in range(5_000)}).encode())

    assert len(problem["errors"]) == 100
    assert problem["detail"].endswith("And 4999 more.")


@rows("total", (48, one_of(0, 8_999, 9_001, 2**53, 10**18 - 1)))
def test_rejects_the_total(api, total):
    assert_fault(refused(api, "POST", ORDERS, order_body(expected_total=total)), "price_changed", "#/expected_total")


def test_row_48_compares_with_the_current_price(api):
    Product.objects.filter(sku="RED-CHAIR").update(price=4_501)

    assert_fault(refused(api, "POST", ORDERS, order_body()), "price_changed", "#/expected_total")


def test_row_49_names_the_currency_before_the_price(api):
    problem = refused(api, "POST", ORDERS, order_body(currency="USD", expected_total=1))

    assert [(fault["code"], fault["pointer"]) for fault in problem["errors"]] == [
        ("currency_mismatch", "#/currency"),
        ("price_changed", "#/expected_total"),
    ]
