from pathlib import Path

import pytest

from inventory.models import StockItem
from notifications.models import Notification
from orders.models import Order, OrderLine, Product
from shop.management.commands import import_orders
from tests.factories import make_stock
from tests.shop.management.feeds import HEADER, a_line, outcome_of, rejects, run, write

pytestmark = pytest.mark.django_db


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "feed.csv"


def imported_lines() -> list[tuple[str, str, int, int]]:
    lines = OrderLine.objects.order_by("order_id", "id")
    return list(lines.values_list("order__idempotency_key", "sku", "quantity", "unit_price"))


class TestAcceptedInvoices:
    def test_become_orders_at_the_feeds_prices(self, path):
        make_stock(10, sku="RED-CHAIR", price=9_999)
        write(path, a_line("536365", quantity="6", price="2.5"), a_line("536366", price="0"))

        outcome = run(path)

        assert outcome == outcome_of(accepted=2, lines=2)
        assert imported_lines() == [("536365", "RED-CHAIR", 6, 250), ("536366", "RED-CHAIR", 1, 0)]
        assert list(Order.objects.order_by("id").values_list("total", flat=True)) == [1_500, 0]

    def test_are_read_to_the_penny(self, path):
        make_stock(10)
        prices = ["0.01", "0.29", "1.1", "4.35", "8.95", "123456789.99"]
        write(path, *(a_line(f"53636{at}", price=price) for at, price in enumerate(prices)))

        run(path)

        assert [price for *_, price in imported_lines()] == [1, 29, 110, 435, 895, 12_345_678_999]

    def test_have_equal_lines_merged_and_keep_a_sku_at_two_prices_apart(self, path):
        make_stock(10)
        write(path, a_line(quantity="2"), a_line(quantity="3"), a_line(quantity="4", price="40"))

        outcome = run(path)

        assert outcome == outcome_of(accepted=1, lines=2)
        assert imported_lines() == [("536365", "RED-CHAIR", 5, 4_500), ("536365", "RED-CHAIR", 4, 4_000)]

    def test_may_have_more_lines_than_an_order_if_they_merge(self, path):
        make_stock(5_000)
        write(path, *[a_line()] * 2_001)

        assert run(path) == outcome_of(accepted=1, lines=1)

    def test_may_have_their_lines_scattered(self, path):
        make_stock(10)
        write(path, a_line("536365", quantity="1"), a_line("536366"), a_line("536365", quantity="2"))

        outcome = run(path)

        assert outcome == outcome_of(accepted=2, lines=2)
        assert imported_lines() == [("536365", "RED-CHAIR", 3, 4_500), ("536366", "RED-CHAIR", 1, 4_500)]

    def test_are_paid_shipped_and_told_to_nobody(self, path, drain):
        make_stock(10)
        run(write(path, a_line(quantity="2")))

        drain()

        assert Order.objects.get().status == Order.Status.CONFIRMED
        assert StockItem.objects.get().on_hand == 8
        assert [notification.status for notification in Notification.objects.all()] == ["suppressed"]

    def test_belong_to_an_account_that_nobody_can_log_in_to(self, path):
        make_stock(10)

        run(write(path, a_line()))

        account = Order.objects.get().customer
        assert account.username == "order-feed"
        assert not account.has_usable_password()

    def test_are_imported_once(self, path):
        make_stock(10)
        write(path, a_line("536365"), a_line("536366"))
        run(path)
        write(path, a_line("536365"), a_line("536366"), a_line("536367"), a_line("C536368"))

        outcome = run(path)

        assert outcome == outcome_of(accepted=1, already_imported=2, rejected=1, cancellation=1, lines=1)
        assert Order.objects.count() == 3

    @pytest.mark.parametrize("size", [1, 2, 3])
    def test_come_out_the_same_in_batches_of_any_size(self, path, monkeypatch, size):
        monkeypatch.setattr(import_orders, "BATCH_INVOICES", size)
        make_stock(10)
        write(path, *(a_line(f"53636{at}") for at in range(5)))

        assert run(path) == outcome_of(accepted=5, lines=5)


class TestRejectedInvoices:
    @pytest.mark.parametrize(
        ("line", "reason"),
        [
            (a_line("C536379"), "cancellation"),
            (a_line(""), "invalid_invoice_number"),
            (a_line("536 365"), "invalid_invoice_number"),
            (a_line("5" * 65), "invalid_invoice_number"),
            *((a_line(quantity=text), "invalid_quantity") for text in ("0", "-1", "1.0", "1e2", "", " 1", "x", "１")),
            (a_line(quantity="1000001"), "quantity_too_large"),
            (a_line(quantity="9" * 5_000), "invalid_quantity"),
            *((a_line(price=text), "invalid_price") for text in ("", "x", "1.005", "1e2", "NaN", "1_0", ".5", "１")),
            (a_line(price="-0.01"), "negative_price"),
            (a_line(quantity="1000000", price="99999999999"), "total_too_large"),
            *((a_line(sku=text), "invalid_sku") for text in ("", "BANK CHARGES", "A" * 65, "ÄPFEL", "-A")),
            (a_line(sku="BLUE-CHAIR"), "unknown_sku"),
            ("536365,RED-CHAIR,Red chair,1,12/1/10 8:26,45.00,17850", "malformed_line"),
            (a_line() + ",and more", "malformed_line"),
            (a_line(description="Red\0chair"), "malformed_line"),
        ],
    )
    def test_have_a_reason(self, path, line, reason):
        make_stock(10)
        write(path, line, a_line("536999"))

        outcome = run(path)

        assert outcome == outcome_of(accepted=1, lines=1, rejected=1, **{reason: 1})
        assert [order.idempotency_key for order in Order.objects.all()] == ["536999"]

    def test_have_at_most_2000_lines(self, path):
        write(path, *(a_line(sku=f"CHAIR-{at}") for at in range(2_001)))

        assert run(path) == outcome_of(rejected=1, too_many_lines=1)

    def test_are_rejected_whole_with_every_reason_counted_once(self, path):
        make_stock(10)
        write(path, a_line(), a_line(quantity="-1"), a_line(quantity="0", price="-1"), a_line("536366", quantity="0"))

        outcome = run(path)

        assert outcome == outcome_of(rejected=2, invalid_quantity=2, negative_price=1)
        assert not Order.objects.exists()

    def test_differ_from_what_was_imported_under_their_number(self, path):
        make_stock(10)
        run(write(path, a_line(quantity="1")))

        outcome = run(write(path, a_line(quantity="2")))

        assert outcome == outcome_of(rejected=1, differs_from_import=1)
        assert imported_lines() == [("536365", "RED-CHAIR", 1, 4_500)]

    def test_add_no_products(self, path):
        write(path, a_line(sku="RED-CHAIR", quantity="0"), a_line("C536366", sku="BLUE-CHAIR"))

        run(path, create_products=True, opening_stock=5)

        assert not Product.objects.exists()
        assert not StockItem.objects.exists()

    def test_go_beside_the_input_as_they_came_with_their_reasons(self, path):
        make_stock(10)
        good, bad, cancelled = a_line("536364"), a_line(quantity="0", description='"Chair, red"'), a_line("C536366")
        write(path, good, a_line(), bad, cancelled)

        run(path)

        assert path.with_name("feed.csv.rejects.csv").read_text().splitlines() == [
            f"{HEADER},reasons",
            f"{a_line()},invalid_quantity",
            f"{bad},invalid_quantity",
            f"{cancelled},cancellation",
        ]

    def test_keep_their_reasons_in_one_column_however_long_their_lines(self, path, tmp_path):
        elsewhere = tmp_path / "elsewhere.csv"
        write(path, "536365,RED-CHAIR", "536366,a,b,c,d,e,f,g,h")

        run(path, rejects=elsewhere)

        found = [(row["InvoiceNo"], row["reasons"], row.get(None)) for row in rejects(elsewhere)]
        assert found == [("536365", "malformed_line", None), ("536366", "malformed_line", ["h"])]

    def test_leave_an_input_alone_that_is_named_like_a_part_of_them(self, path):
        make_stock(10)
        part = write(path.with_name("rejects.csv.part"), a_line(), a_line("C536366"))
        before = part.read_text()

        run(part, rejects=path.with_name("rejects.csv"))

        assert part.read_text() == before

    def test_replace_those_of_the_run_before(self, path):
        make_stock(10)
        run(write(path, a_line("C536366")))

        run(write(path, a_line("536366")))

        assert rejects(path.with_name("feed.csv.rejects.csv")) == []


class TestCreateProducts:
    def test_offers_unknown_skus_by_description_at_the_price_that_comes_first(self, path):
        write(
            path,
            a_line(description="  Red   chair ", price="45.00"),
            a_line(price="40.00"),
            a_line("536366", sku="POST", description="", price="18.00"),
        )

        outcome = run(path, create_products=True)

        assert outcome == outcome_of(accepted=2, lines=3)
        products = Product.objects.order_by("sku").values_list("sku", "name", "price")
        assert list(products) == [("POST", "POST", 1_800), ("RED-CHAIR", "Red chair", 4_500)]

    def test_leaves_known_products_as_they_are(self, path):
        make_stock(10, price=1)

        run(write(path, a_line()), create_products=True)

        assert Product.objects.get().price == 1

    def test_puts_the_opening_stock_on_the_shelf_once(self, path, drain):
        write(path, a_line(quantity="3"))
        run(path, create_products=True, opening_stock=5)
        drain()

        run(path, create_products=True, opening_stock=5)
        drain()

        assert list(StockItem.objects.values_list("sku", "on_hand", "reserved")) == [("RED-CHAIR", 2, 0)]

    def test_keeps_no_stock_of_what_is_not_offered(self, path):
        run(write(path, a_line()), opening_stock=5)

        assert not StockItem.objects.exists()

    def test_leaves_stock_alone_that_was_opened_before(self, path):
        make_stock(10)

        run(write(path, a_line()), opening_stock=100)

        assert StockItem.objects.get().on_hand == 10
