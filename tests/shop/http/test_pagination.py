from base64 import b64encode
from datetime import UTC, datetime

import pytest

from inventory.models import StockItem
from payments.charges import services
from payments.models import PaymentIntent
from tests.factories import make_customer
from tests.operators import operator_who_may
from tests.outbox import counting_statements
from tests.payments.scenes import payment_requested

pytestmark = pytest.mark.django_db

PAYMENTS, STOCK = "/api/v1/payments/", "/api/v1/stock/"


def cursor(tokens: str) -> str:
    return b64encode(tokens.encode()).decode()


def pay(times: int) -> list[str]:
    customer = str(make_customer().pk)
    services.collect(
        [payment_requested(customer_id=customer) for _ in range(times)], now=datetime(2030, 6, 1, 12, tzinfo=UTC)
    )
    return [str(pk) for pk in PaymentIntent.objects.order_by("pk").values_list("pk", flat=True)]


class TestPages:
    def test_go_from_the_newest_without_counting(self, api):
        payments = pay(53)

        with counting_statements() as statements:
            first = api.get(PAYMENTS).json()
        second = api.get(first["next"]).json()

        assert [payment["id"] for payment in first["results"] + second["results"]] == payments[::-1]
        assert (first["previous"], second["next"]) == (None, None)
        assert api.get(second["previous"]).json()["results"] == first["results"]
        assert not any("COUNT" in statement["sql"] for statement in statements)

    def test_stay_put_while_new_rows_come_in(self, api):
        payments = pay(53)
        second = api.get(PAYMENTS).json()["next"]

        pay(1)

        assert [payment["id"] for payment in api.get(second).json()["results"]] == payments[2::-1]

    def test_go_by_what_the_view_names(self):
        keeper = operator_who_may("inventory.view_stockitem")
        skus = [f"CHAIR-{number}" for number in range(10, 63)]
        StockItem.objects.bulk_create([StockItem(sku=sku) for sku in reversed(skus)])

        first = keeper.get(STOCK).json()
        second = keeper.get(first["next"]).json()

        assert [item["sku"] for item in first["results"] + second["results"]] == skus

    def test_keep_the_filters_from_page_to_page(self, api):
        pay(53)

        first = api.get(PAYMENTS, {"status": "succeeded"}).json()

        assert "status=succeeded" in first["next"]
        assert len(api.get(first["next"]).json()["results"]) == 3


class TestCursors:
    @pytest.mark.parametrize(
        "unknown",
        [
            "x",
            "é",
            cursor("p="),
            cursor("p=1"),
            cursor("p=\x00"),
            cursor("p=%00"),
            cursor(f"p={'9' * 400}"),
            cursor("o=-1"),
            cursor(f"o={'9' * 5_000}"),
            cursor("r=x"),
            cursor("p=é"),
        ],
    )
    def test_that_name_no_place_are_refused(self, api, unknown):
        answer = api.get(PAYMENTS, {"cursor": unknown})

        assert answer.status_code == 400
        assert answer.json()["errors"] == [
            {
                "code": "invalid_parameter",
                "detail": "Invalid cursor: use `next` and `previous` as they are.",
                "parameter": "cursor",
            }
        ]

    @pytest.mark.parametrize("unknown", [cursor("p=%00"), cursor(f"p={'A' * 65}"), cursor("o=-1"), cursor("p=")])
    def test_that_name_no_sku_are_refused(self, unknown):
        answer = operator_who_may("inventory.view_stockitem").get(STOCK, {"cursor": unknown})

        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_parameter")

    @pytest.mark.parametrize(
        "odd",
        [cursor("p=ZZZ"), cursor("p=%C3%A9"), cursor("p=%ff"), cursor("p='%20OR%201=1"), cursor("o=1000&r=1"), ""],
    )
    def test_may_name_a_place_where_nothing_is(self, odd):
        answer = operator_who_may("inventory.view_stockitem").get(STOCK, {"cursor": odd})

        assert (answer.status_code, answer.json()["results"]) == (200, [])
