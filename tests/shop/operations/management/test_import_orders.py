from pathlib import Path

import pytest

from inventory.models import StockItem
from notifications.models import Notification
from orders.models import Order, OrderLine, Product
from shop.operations.management.commands import import_orders
from tests.factories import make_stock
from tests.shop.operations.management.feeds import HEADER, outcome_of, rejects, row, run, write

pytestmark = pytest.mark.django_db


@pytest.fixture
def chairs() -> None:
    """
    Enough chairs, at another price than in the feeds.
    """
    make_stock(5_000, price=9_999)


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "feed.csv"


def imported_lines() -> list[tuple[str, str, int, int]]:
    lines = OrderLine.objects.order_by("order_id", "id")
    return list(lines.values_list("order__idempotency_key", "sku", "quantity", "unit_price"))


@pytest.mark.usefixtures("chairs")
class TestAcceptedInvoices:
    def test_become_orders_at_the_prices_of_the_feed(self, path):
        write(path, row("536365", quantity="6", price="2.5"), row("536366", price="0"))

        outcome = run(path)

        assert outcome == outcome_of(accepted=2, lines=2)
        assert imported_lines() == [("536365", "RED-CHAIR", 6, 250), ("536366", "RED-CHAIR", 1, 0)]
        assert list(Order.objects.order_by("id").values_list("total", flat=True)) == [1_500, 0]

    def test_keep_exact_prices(self, path):
        prices = ["0.01", "0.29", "1.1", "4.35", "8.95", "123456789.99"]
        write(path, *(row(f"53636{at}", price=price) for at, price in enumerate(prices)))

        run(path)

        assert [price for *_, price in imported_lines()] == [1, 29, 110, 435, 895, 12_345_678_999]

    def test_merge_rows_of_equal_sku_and_price_that_need_not_be_adjacent(self, path):
        write(path, row(quantity="2"), row("536366"), row(quantity="4", price="40"), row(quantity="3"))

        outcome = run(path)

        assert outcome == outcome_of(accepted=2, lines=3)
        assert imported_lines() == [
            ("536365", "RED-CHAIR", 5, 4_500),
            ("536365", "RED-CHAIR", 4, 4_000),
            ("536366", "RED-CHAIR", 1, 4_500),
        ]

    def test_may_have_more_rows_than_an_order_has_lines(self, path):
        write(path, *[row()] * 2_001)

        assert run(path) == outcome_of(accepted=1, lines=1)

    def test_are_paid_and_shipped_without_notifications(self, path, drain):
        run(write(path, row(quantity="2")))

        drain()

        assert Order.objects.get().status == Order.Status.CONFIRMED
        assert StockItem.objects.get().on_hand == 4_998
        assert set(Notification.objects.values_list("status", "reason")) == {("suppressed", "no_address")}

    def test_belong_to_an_account_without_password(self, path):
        run(write(path, row()))

        account = Order.objects.get().customer
        assert account.username == "order-feed"
        assert not account.has_usable_password()

    def test_are_imported_once(self, path):
        write(path, row("536365"), row("536366"))
        run(path)
        write(path, row("536365"), row("536366"), row("536367"), row("C536368"))

        outcome = run(path)

        assert outcome == outcome_of(accepted=1, already_imported=2, rejected=1, cancellation=1, lines=1)
        assert Order.objects.count() == 3

    @pytest.mark.parametrize("size", [1, 2, 3])
    def test_do_not_depend_on_the_batch_size(self, path, monkeypatch, size):
        monkeypatch.setattr(import_orders, "BATCH_INVOICES", size)
        write(path, *(row(f"53636{at}") for at in range(5)))

        assert run(path) == outcome_of(accepted=5, lines=5)


@pytest.mark.usefixtures("chairs")
class TestRejectedInvoices:
    @pytest.mark.parametrize(
        ("line", "reason"),
        [
            (row("C536379"), "cancellation"),
            (row(""), "invalid_invoice_number"),
            (row("536 365"), "invalid_invoice_number"),
            (row("5" * 65), "invalid_invoice_number"),
            *((row(quantity=text), "invalid_quantity") for text in ("0", "-1", "1.0", "1e2", "", " 1", "x", "１")),
            (row(quantity="1000001"), "quantity_too_large"),
            (row(quantity="9" * 5_000), "invalid_quantity"),
            *((row(price=text), "invalid_price") for text in ("", "x", "1.005", "1e2", "NaN", "1_0", ".5", "１")),
            (row(price="-0.01"), "negative_price"),
            (row(quantity="1000000", price="99999999999"), "total_too_large"),
            *((row(sku=text), "invalid_sku") for text in ("", "BANK CHARGES", "A" * 65, "ÄPFEL", "-A")),
            (row(sku="BLUE-CHAIR"), "unknown_sku"),
            ("536365,RED-CHAIR,Red chair,1,12/1/10 8:26,45.00,17850", "malformed_line"),
            (row() + ",and more", "malformed_line"),
            (row(description="Red\0chair"), "malformed_line"),
        ],
    )
    def test_have_a_reason(self, path, line, reason):
        write(path, line, row("536999"))

        outcome = run(path)

        assert outcome == outcome_of(accepted=1, lines=1, rejected=1, **{reason: 1})
        assert [order.idempotency_key for order in Order.objects.all()] == ["536999"]

    def test_have_at_most_2000_lines(self, path):
        write(path, *(row(sku=f"CHAIR-{at}") for at in range(2_001)))

        assert run(path) == outcome_of(rejected=1, too_many_lines=1)

    def test_are_rejected_whole_and_count_each_reason_once(self, path):
        write(path, row(), row(quantity="-1"), row(quantity="0", price="-1"), row("536366", quantity="0"))

        outcome = run(path)

        assert outcome == outcome_of(rejected=2, invalid_quantity=2, negative_price=1)
        assert not Order.objects.exists()

    def test_differ_from_the_order_imported_under_their_number(self, path):
        run(write(path, row(quantity="1")))

        outcome = run(write(path, row(quantity="2")))

        assert outcome == outcome_of(rejected=1, differs_from_import=1)
        assert imported_lines() == [("536365", "RED-CHAIR", 1, 4_500)]

    def test_are_written_unchanged_beside_the_input_with_their_reasons(self, path):
        good, bad, cancelled = row("536364"), row(quantity="0", description='"Chair, red"'), row("C536366")
        write(path, good, row(), bad, cancelled)

        run(path)

        assert path.with_name("feed.csv.rejects.csv").read_text().splitlines() == [
            f"{HEADER},reasons",
            f"{row()},invalid_quantity",
            f"{bad},invalid_quantity",
            f"{cancelled},cancellation",
        ]

    def test_have_their_reasons_in_the_ninth_column_for_rows_of_any_length(self, path, tmp_path):
        elsewhere = tmp_path / "elsewhere.csv"
        write(path, "536365,RED-CHAIR", "536366,a,b,c,d,e,f,g,h")

        run(path, rejects=elsewhere)

        columns = [(line["InvoiceNo"], line["reasons"], line.get(None)) for line in rejects(elsewhere)]
        assert columns == [("536365", "malformed_line", None), ("536366", "malformed_line", ["h"])]

    def test_keep_an_input_that_is_named_like_their_temporary_file(self, path):
        part = write(path.with_name("rejects.csv.part"), row(), row("C536366"))
        before = part.read_text()

        run(part, rejects=path.with_name("rejects.csv"))

        assert part.read_text() == before

    def test_replace_those_of_the_previous_run(self, path):
        run(write(path, row("C536366")))

        run(write(path, row("536366")))

        assert rejects(path.with_name("feed.csv.rejects.csv")) == []


class TestCreateProducts:
    def test_adds_unknown_skus_with_description_and_first_price(self, path):
        write(
            path,
            row(description="  Red   chair ", price="45.00"),
            row(price="40.00"),
            row("536366", sku="POST", description="", price="18.00"),
        )

        outcome = run(path, create_products=True)

        assert outcome == outcome_of(accepted=2, lines=3)
        products = Product.objects.order_by("sku").values_list("sku", "name", "price")
        assert list(products) == [("POST", "POST", 1_800), ("RED-CHAIR", "Red chair", 4_500)]

    def test_adds_nothing_for_rejected_invoices(self, path):
        write(path, row(sku="RED-CHAIR", quantity="0"), row("C536366", sku="BLUE-CHAIR"))

        run(path, create_products=True, opening_stock=5)

        assert not Product.objects.exists()
        assert not StockItem.objects.exists()

    def test_keeps_existing_products_and_stock(self, path):
        make_stock(10, price=1)

        run(write(path, row()), create_products=True, opening_stock=100)

        assert (Product.objects.get().price, StockItem.objects.get().on_hand) == (1, 10)

    def test_opens_stock_once(self, path, drain):
        write(path, row(quantity="3"))
        run(path, create_products=True, opening_stock=5)
        drain()

        run(path, create_products=True, opening_stock=5)
        drain()

        assert list(StockItem.objects.values_list("sku", "on_hand", "reserved")) == [("RED-CHAIR", 2, 0)]

    def test_opens_no_stock_of_unknown_skus(self, path):
        run(write(path, row()), opening_stock=5)

        assert not StockItem.objects.exists()
