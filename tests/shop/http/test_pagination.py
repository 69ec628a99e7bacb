from base64 import b64encode
from datetime import UTC, datetime

import pytest

from inventory.models import StockItem
from payments.charges import services
from payments.models import PaymentIntent
from tests.factories import CustomerFactory
from tests.operators import operator_who_may
from tests.outbox import counting_statements
from tests.payments.scenes import payment_requested

pytestmark = pytest.mark.django_db

PAYMENTS, STOCK = "/api/v1/payments/", "/api/v1/stock/"


def cursor(position: str) -> str:
    return b64encode(position.encode()).decode()


def pay(times: int) -> list[str]:
    customer = str(CustomerFactory().pk)
    services.collect(
        [payment_requested(customer_id=customer) for _ in range(times)], now=datetime(2030, 6, 1, 12, tzinfo=UTC)
    )
    return [str(pk) for pk in PaymentIntent.objects.order_by("pk").values_list("pk", flat=True)]


class TestPages:
    def test_begin_with_the_newest_and_count_nothing(self, api):
        payments = pay(53)

        with counting_statements() as statements:
            first = api.get(PAYMENTS).json()
        second = api.get(first["next"]).json()

        assert [payment["id"] for payment in first["results"] + second["results"]] == payments[::-1]
        assert (first["previous"], second["next"]) == (None, None)
        assert api.get(second["previous"]).json()["results"] == first["results"]
        assert not any("COUNT" in statement["sql"] for statement in statements)

    def test_are_stable_while_rows_are_added(self, api):
        payments = pay(53)
        second = api.get(PAYMENTS).json()["next"]

        pay(1)

        assert [payment["id"] for payment in api.get(second).json()["results"]] == payments[2::-1]

    def test_are_ordered_by_the_field_of_the_view(self):
        clerk = operator_who_may("inventory.view_stockitem")
        skus = [f"CHAIR-{number}" for number in range(10, 63)]
        StockItem.objects.bulk_create([StockItem(sku=sku) for sku in reversed(skus)])

        first = clerk.get(STOCK).json()
        second = clerk.get(first["next"]).json()

        assert [item["sku"] for item in first["results"] + second["results"]] == skus

    def test_keep_the_filters(self, api):
        pay(53)

        first = api.get(PAYMENTS, {"status": "succeeded"}).json()

        assert "status=succeeded" in first["next"]
        assert len(api.get(first["next"]).json()["results"]) == 3


class TestCursors:
    @pytest.mark.parametrize(
        ("path", "position"),
        [
            *[(PAYMENTS, position) for position in ("p=", "p=1", "p=\0", "p=%00", f"p={'9' * 400}", "p=é", "r=x")],
            *[(PAYMENTS, position) for position in ("o=-1", f"o={'9' * 5_000}")],
            *[(STOCK, position) for position in ("p=", "p=%00", f"p={'A' * 65}", "o=-1")],
        ],
    )
    def test_are_rejected_if_no_row_can_be_there(self, path, position):
        answer = operator_who_may("inventory.view_stockitem").get(path, {"cursor": cursor(position)})

        detail = "Invalid cursor: use `next` and `previous` as they are."
        assert answer.status_code == 400
        assert answer.json()["errors"] == [{"code": "invalid_parameter", "detail": detail, "parameter": "cursor"}]

    @pytest.mark.parametrize("position", ["p=ZZZ", "p=%C3%A9", "p=%ff", "p='%20OR%201=1", "o=1000&r=1", ""])
    def test_may_name_a_position_without_a_row(self, position):
        answer = operator_who_may("inventory.view_stockitem").get(STOCK, {"cursor": cursor(position)})

        assert (answer.status_code, answer.json()["results"]) == (200, [])
