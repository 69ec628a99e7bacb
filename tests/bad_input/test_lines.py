"""
Rows 18 to 38: invalid lines of an order.
"""

from tests.bad_input.rows import one_of, rows
from tests.bad_input.scene import LINE, ORDERS, Literal, order_body, order_with_line
from tests.refusals import assert_fault, refused, send


@rows(
    "quantity",
    (18, one_of(*map(Literal, ("1e400", "-1e400", "1E+309")))),
    (20, one_of(2**31, 2**63, 2**64, 10**20, -(2**31), -(2**63) - 1, Literal("9" * 5_000))),
    (21, one_of(*map(Literal, ("0", "-1", "-0", "-0.0")))),
    (22, one_of(1.5, 0.999)),
    (23, one_of(*map(Literal, ("1.0", "1e2", "1E0", "2.00")))),
    (24, one_of(True, False)),
    (25, one_of("5", " 5 ", "1_0", "５", "0x10", "", "five", "٣")),
    (26, one_of(None, [1], {}, [], ...)),
)
def test_rejects_the_quantity(api, quantity):
    problem = refused(api, "POST", ORDERS, order_with_line(quantity=quantity))

    assert_fault(problem, "invalid_quantity", "#/lines/1/quantity")


@rows("quantity", (27, one_of(1_001, 2**31 - 1)))
def test_rejects_the_large_quantity(api, quantity):
    problem = refused(api, "POST", ORDERS, order_with_line(quantity=quantity))

    assert_fault(problem, "quantity_too_large", "#/lines/1/quantity")


@rows(
    "lines, code",
    (28, one_of(..., None, {}, {"0": LINE}, "RED-CHAIR", 1, True), "invalid_lines"),
    (29, [], "empty_order"),
    (30, one_of([LINE] * 101, [LINE] * 1_000, [{}] * 10_000), "too_many_lines"),
    (32, [{"sku": "PALACE-0", "quantity": 2}], "total_too_large"),
    (32, [{"sku": f"PALACE-{number}", "quantity": 1_000} for number in range(100)], "total_too_large"),
    (32, [LINE, {"sku": "PALACE-0", "quantity": 1}], "total_too_large"),
)
def test_rejects_the_lines(api, lines, code):
    problem = refused(api, "POST", ORDERS, order_body(lines=lines))

    assert_fault(problem, code, "#/lines")


@rows("line", (28, one_of(None, 1, "RED-CHAIR", [], [LINE])))
def test_rejects_the_line(api, line):
    problem = refused(api, "POST", ORDERS, order_body(lines=[LINE, line]))

    assert_fault(problem, "invalid_lines", "#/lines/1")


def test_row_30_does_not_read_ten_thousand_lines(api):
    assert refused(api, "POST", ORDERS, order_body(lines=[LINE] * 10_000))["code"] == "body_too_large"


def test_row_31_merges_lines_of_one_sku(api):
    answer = send(api, "POST", ORDERS, order_body(lines=[LINE, LINE], expected_total=18_000))

    assert answer.status_code == 201
    assert [line["quantity"] for line in answer.json()["lines"]] == [4]


def test_row_31_limits_the_quantity_of_merged_lines(api):
    problem = refused(api, "POST", ORDERS, order_body(lines=[{**LINE, "quantity": 600}] * 2, expected_total=5_400_000))

    assert_fault(problem, "quantity_too_large", "#/lines/1/quantity")


@rows(
    "sku, code",
    (33, one_of("GREEN-CHAIR", "red-chair", "RED-CHAIR.", "x" * 64), "unknown_sku"),
    (34, "OLD-LAMP", "sku_not_available"),
    (35, one_of("x" * 65, "x" * 10_000, "", "   ", ...), "invalid_sku"),
    (36, one_of(" RED-CHAIR\t", "RED CHAIR", "RED-CHAIR\n", "-RED", "RED/CHAIR"), "invalid_sku"),
    (36, one_of("СHAIR", "１", "RED\u200bCHAIR", "😀"), "invalid_sku"),
    (38, one_of(123, Literal("1e3"), True, None, ["RED-CHAIR"], {}), "invalid_sku"),
    (42, one_of("A'; DROP TABLE orders;--", "' OR 1=1", "%", "{{7*7}}", "<script>"), "invalid_sku"),
)
def test_rejects_the_sku(api, sku, code):
    problem = refused(api, "POST", ORDERS, order_with_line(sku=sku))

    assert_fault(problem, code, "#/lines/1/sku")


def test_row_26_names_every_invalid_line(api):
    lines = [{"sku": "RED-CHAIR", "quantity": 0}, LINE, {"sku": "", "quantity": 1.5}]

    problem = refused(api, "POST", ORDERS, order_body(lines=lines))

    assert [(fault["code"], fault["pointer"]) for fault in problem["errors"]] == [
        ("invalid_quantity", "#/lines/0/quantity"),
        ("invalid_sku", "#/lines/2/sku"),
        ("invalid_quantity", "#/lines/2/quantity"),
    ]
