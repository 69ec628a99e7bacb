import json

import pytest

from orders.models import Product
from tests.factories import ProductFactory
from tests.orders.test_api import ORDERS, nothing_happened, wish

pytestmark = pytest.mark.django_db

JSON = "application/json"


@pytest.fixture(autouse=True)
def _offered():
    ProductFactory(sku="RED-CHAIR", price=4_500)


def line(**changes: object) -> dict[str, object]:
    return wish(lines=[{"sku": "RED-CHAIR", "quantity": 2} | changes])


class TestPlace:
    @pytest.mark.parametrize(
        ("body", "field"),
        [
            (line(quantity=0), "lines[0].quantity"),
            (line(quantity=-1), "lines[0].quantity"),
            (line(quantity=2**63), "lines[0].quantity"),
            (line(quantity=10**400), "lines[0].quantity"),
            (line(sku="GREEN-CHAIR"), "lines[0].sku"),
            (line(sku=" RED-CHAIR"), "lines[0].sku"),
            (line(sku="red-chair"), "lines[0].sku"),
            (line(sku="x" * 10_000), "lines[0].sku"),
            (line(sku="' OR 1=1"), "lines[0].sku"),
            (wish(lines=[]), "lines"),
            (wish(lines=[{"sku": "RED-CHAIR", "quantity": 1}] * 2_001), "lines"),
        ],
    )
    def test_names_the_problem_and_its_field(self, api, body, field):
        answer = api.post(ORDERS, body, format="json")

        assert answer.status_code == 400
        (problem,) = answer.json()["problems"]
        assert problem["field"] == field
        assert problem["detail"]
        assert nothing_happened()

    @pytest.mark.parametrize("quantity", [True, False, 1.0, 1.5, 1e2, "5", " 5 ", "1_0", "５", None, [1], {}, ""])
    def test_takes_no_quantity_but_an_integer(self, api, quantity):
        answer = api.post(ORDERS, line(quantity=quantity), format="json")

        assert answer.status_code == 400
        assert list(answer.json()["lines"]["0"]) == ["quantity"]
        assert nothing_happened()

    @pytest.mark.parametrize("sku", [123, 1e3, True, None, ["RED-CHAIR"], {}, "", "RED\x00CHAIR", "\ud800"])
    def test_takes_no_sku_but_a_text(self, api, sku):
        answer = api.post(ORDERS, json.dumps(line(sku=sku)), content_type=JSON)

        assert answer.status_code == 400
        assert list(answer.json()["lines"]["0"]) == ["sku"]
        assert nothing_happened()

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("lines", None),
            ("lines", "RED-CHAIR"),
            ("lines", {"sku": "RED-CHAIR"}),
            ("lines", [1]),
            ("expected_total", None),
            ("expected_total", -1),
            ("expected_total", "9000"),
            ("expected_total", 9_000.0),
            ("expected_total", True),
            ("payment_method", ""),
            ("payment_method", "t" * 65),
            ("payment_method", "tok\x00visa"),
            ("payment_method", 5),
            ("email", "ada"),
            ("email", "ada@example.com\nBcc: eve@example.com"),
            ("email", "a" * 250 + "@example.com"),
            ("email", "ada@example.com,eve@example.com"),
            ("email", None),
        ],
    )
    def test_names_the_field_that_is_wrong(self, api, field, value):
        answer = api.post(ORDERS, wish(**{field: value}), format="json")

        assert answer.status_code == 400
        assert list(answer.json()) == [field]
        assert nothing_happened()

    def test_names_every_field_that_is_missing(self, api):
        answer = api.post(ORDERS, {}, format="json")

        assert answer.status_code == 400
        assert set(answer.json()) == {"lines", "payment_method", "expected_total"}

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b'{"lines":[',
            b"{} {}",
            b"[]",
            b"null",
            b'"x"',
            b"1",
            b"NaN",
            b'{"lines": NaN}',
            b'{"expected_total": 1e400}',
            b'{"expected_total": ' + b"9" * 5_000 + b"}",
            b"\xff",
            json.dumps(wish()).encode("utf-16"),
            b"[" * 50_000,
            b'{"lines":' * 50_000,
        ],
        ids=lambda body: body[:20],
    )
    def test_survives_a_body_that_is_no_order(self, api, body):
        answer = api.post(ORDERS, body, content_type=JSON)

        assert answer.status_code == 400
        assert answer.json()
        assert nothing_happened()

    def test_costs_at_most_what_every_json_reader_can_read(self, api):
        Product.objects.update(price=2**53 - 1)

        answer = api.post(ORDERS, wish(), format="json")

        assert answer.status_code == 400
        assert [problem["code"] for problem in answer.json()["problems"]] == ["total_too_large"]

    @pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "application/xml"])
    def test_reads_json_only(self, api, content_type):
        assert api.post(ORDERS, b"quantity=1", content_type=content_type).status_code == 415
        assert nothing_happened()
