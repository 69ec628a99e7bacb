"""
Rows 39 to 50, and 80: other invalid values of an order.
"""

import json
import string

from orders.models import Order, Product
from tests.bad_input.rows import rows
from tests.bad_input.scene import KEYS, ORDERS, TOKENS, Literal, key, login, order_body, order_with_line
from tests.refusals import assert_fault, refused, send


@rows("text", (39, "RED\0CHAIR"), (40, "\ud800"), (40, "\udc00\ud800"))
def test_rejects_in_any_text(api, text):
    names = ["note", "email", "phone", "payment_method", "currency", "unheard_of", text]
    bodies = [order_with_line(sku=text), *(order_body(**{name: text}) for name in names)]

    assert {refused(api, "POST", ORDERS, body)["code"] for body in bodies} == {"invalid_characters"}


@rows(
    "note",
    (42, "A'; DROP TABLE orders;--"),
    (42, "' OR 1=1"),
    (42, "<script>alert(1)</script> {{ 7*7 }} %s \\ \r\n\t ✉ 😀 " + "\u202e"),
    (42, " kept as it is "),
    (42, string.printable),
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
    (44, "email", "ada@example.com,eve@example.com", "invalid_email"),
    *[(44, "email", value, "invalid_email") for value in ("ada@example.com eve@example.com", "ada@bücher.example")],
    *[(44, "email", value, "invalid_email") for value in ("ädä@example.com", "ada@example.com\n", " ada@example.com")],
    (44, "email", "ada@example.com\r\nBcc: eve@example.com", "invalid_email"),
    *[(44, "email", value, "invalid_email") for value in ("Ada <ada@example.com>", "ada", "@", "ada@", "@example.com")],
    *[(44, "email", value, "invalid_email") for value in ("ada@@example.com", "ada@exa_mple.com", '"ada"@example.com')],
    *[(44, "email", value, "invalid_email") for value in ('"ada@example.com,eve"@example.com', '"\b"@example.com')],
    *[(44, "email", value, "invalid_email") for value in ("ada@[127.0.0.1]", "ada@[IPv6:::1]", 5, None)],
    *[(44, "email", value, "invalid_email") for value in (["ada@example.com"], {}, True)],
    *[(45, "phone", value, "invalid_phone") for value in ("0113 496 0000", "01134960000", "+0113496000", "+44")],
    *[(45, "phone", value, "invalid_phone") for value in ("+44 113 496 0000", "+44-113-4960000", "+1234567890123456")],
    *[(45, "phone", value, "invalid_phone") for value in ("+441134960000\n", "＋441134960000", "+٤٤١١٣٤٩٦٠٠٠٠")],
    *[(45, "phone", value, "invalid_phone") for value in ("tel:+441134960000", 441134960000, None, [])],
    *[(49, "currency", value, "currency_mismatch") for value in ("usd", "XXX", "gbp", "GBP ", "", "£", 826, None, [])],
    *[(50, "expected_total", value, "invalid_amount") for value in (0.1, 9_000.0)],
    *[
        (50, "expected_total", Literal(text), "invalid_amount")
        for text in ("9e3", "-0", "1e999999", "-1", "1e400", "9000.00")
    ],
    *[(50, "expected_total", value, "invalid_amount") for value in (-(2**63), 2**63, 10**20, "1_000", "9000", "90.00")],
    *[(50, "expected_total", value, "invalid_amount") for value in ("", True, None, [], {"amount": 9_000}, ...)],
    *[
        (42, "payment_method", value, "invalid_payment_method")
        for value in ("", "t" * 65, "  ", 5, None, [], {}, True, ...)
    ],
    *[(42, "note", value, "invalid_note") for value in ("n" * 501, "😀" * 501, 5, None, [], {}, False)],
)
def test_rejects(api, name, value, code):
    problem = refused(api, "POST", ORDERS, order_body(**{name: value}))

    assert_fault(problem, code, f"#/{name}")


FORBIDDEN = {
    46: ("price", "unit_price", "total", "discount", "Expected_Total", "line", "amount"),
    47: ("status", "paid", "user", "id", "created_at", "customer_id", "is_staff", "__proto__", "refunded", "history"),
    80: ("callback_url", "webhook", "return_url"),
}


@rows("name", *[(row, name) for row, names in FORBIDDEN.items() for name in names])
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
    (46, "", "#/"),
    (46, "#", "#/#"),
    (46, "0", "#/0"),
    (46, "prix\xe9", "#/prix\xe9"),
    (46, "non_field_errors", "#/non_field_errors"),
    (46, "constructor", "#/constructor"),
)
def test_points_to(api, name, pointer):
    assert_fault(refused(api, "POST", ORDERS, order_body(**{name: 1})), "unknown_field", pointer)


def test_row_46_names_at_most_a_hundred_fields(api):
    problem = refused(api, "POST", ORDERS, json.dumps({str(number): 1 for number in range(5_000)}).encode())

    assert len(problem["errors"]) == 100
    assert problem["detail"].endswith("And 4999 more.")


@rows(
    "url",
    *[(80, url) for url in ("http://127.0.0.1/", "http://169.254.169.254/latest/meta-data")],
    *[(80, url) for url in ("http://[::ffff:10.0.0.1]/", "file:///etc/passwd", "http://shop@10.0.0.1/")],
    (80, "https://example.com/"),
)
def test_calls_no_url(api, url):
    assert_fault(refused(api, "POST", ORDERS, order_body(callback_url=url)), "unknown_field", "#/callback_url")


@rows("total", (48, 0), (48, 8_999), (48, 9_001), (48, 2**53), (48, 10**18 - 1))
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
