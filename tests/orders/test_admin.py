import re
from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.utils import timezone

from messaging import contracts
from orders import services
from orders.models import HistoryEntry, Order, OrderLine, Product
from tests.factories import ProductFactory, make_stock, place_order
from tests.operators import act, open_every_page_of, operator_who_may, page
from tests.outbox import announced, counting_statements, published

pytestmark = pytest.mark.django_db


def test_opens_every_page(admin_client):
    make_stock()
    place_order()

    statuses = open_every_page_of("orders", admin_client)

    assert statuses == dict.fromkeys(["Product", "Order", "OrderLine", "HistoryEntry"], 200)


class TestProducts:
    def test_adds_a_product_and_publishes_it(self, admin_client):
        response = admin_client.post(page(Product, "add"), {"sku": "RED-CHAIR", "name": "Red chair", "price": "45.00"})

        assert response.status_code == 302
        assert Product.objects.values("sku", "name", "price", "sold_out").get() == {
            "sku": "RED-CHAIR",
            "name": "Red chair",
            "price": 4_500,
            "sold_out": True,
        }
        assert published(contracts.ProductAdded) == [contracts.ProductAdded(sku="RED-CHAIR", name="Red chair")]

    @pytest.mark.parametrize(
        "fields",
        [
            {"sku": "red chair"},
            {"sku": ""},
            {"sku": "OAK-TABLE"},
            {"price": -1},
            {"price": 10**30},
            {"price": "45.005"},
            {"price": "NaN"},
        ],
    )
    def test_rejects_an_invalid_product(self, admin_client, fields):
        ProductFactory(sku="OAK-TABLE")

        response = admin_client.post(page(Product, "add"), {"sku": "RED-CHAIR", "name": "Chair", "price": 1} | fields)

        assert "Please correct the error" in response.content.decode()
        assert list(Product.objects.values_list("sku", flat=True)) == ["OAK-TABLE"]
        assert announced() == {}

    def test_changes_name_and_price_but_not_the_sku_or_availability(self, admin_client):
        product = ProductFactory(sku="RED-CHAIR", price=4_500, sold_out=True)

        admin_client.post(
            page(Product, "change", product.pk),
            {"sku": "BLUE-CHAIR", "name": "Chair, red", "price": "46", "sold_out": ""},
        )

        assert Product.objects.values("sku", "name", "price", "sold_out").get() == {
            "sku": "RED-CHAIR",
            "name": "Chair, red",
            "price": 4_600,
            "sold_out": True,
        }

    def test_edits_the_price_in_major_units(self, admin_client):
        product = ProductFactory(price=24_900)

        assert 'name="price" value="249.00"' in admin_client.get(page(Product, "change", product.pk)).content.decode()

    def test_lists_availability_and_price(self, admin_client):
        ProductFactory(sku="OAK-TABLE", sold_out=True)
        ProductFactory(sku="RED-CHAIR", sold_out=False)

        products = admin_client.get(page(Product)).content.decode()

        assert re.findall(r"icon-(yes|no)\.svg", products) == ["yes", "no", "yes", "yes"]  # active, in stock
        assert "45.00 GBP" in products


class TestOrderPage:
    def test_shows_amounts_and_links_to_the_other_contexts(self, admin_client):
        make_stock()
        order = place_order({"RED-CHAIR": 2})

        html = admin_client.get(page(Order, "change", order.pk)).content.decode()

        assert "90.00 GBP" in html
        assert "minor units" not in html
        assert "45.00 GBP" in html
        assert re.findall(rf"/admin/([a-z/]+)/\?q={order.pk}", html) == [
            "payments/paymentintent",
            "inventory/reservation",
            "notifications/notification",
            "messaging/outboxmessage",
            "messaging/delivery",
        ]

    def test_costs_as_many_statements_for_a_hundred_lines_as_for_two(self, admin_client):
        for number in range(100):
            make_stock(sku=f"CHAIR-{number}")
        short = place_order({f"CHAIR-{number}": 1 for number in range(2)})
        long = place_order({f"CHAIR-{number}": 1 for number in range(100)})
        admin_client.get(page(Order, "change", short.pk))

        with counting_statements() as for_two:
            admin_client.get(page(Order, "change", short.pk))
        with counting_statements() as for_many:
            admin_client.get(page(Order, "change", long.pk))

        assert len(for_many) == len(for_two)


class TestCancel:
    def test_cancels_each_selected_order_and_logs_the_operator(self, admin_client):
        make_stock()
        orders = [place_order(), place_order()]

        html = act(admin_client, "cancel", *orders)

        assert "Cancelled 2 orders." in html
        assert set(Order.objects.values_list("status", "cancel_reason")) == {("cancelled", "by_operator")}
        entries = LogEntry.objects.values_list("user__username", "object_id", "change_message")
        assert set(entries) == {("admin", str(order.pk), "Cancelled.") for order in orders}

    def test_explains_that_a_final_order_cannot_be_cancelled(self, admin_client):
        make_stock()
        order = place_order()
        services.cancel_order(str(order.pk), reason="by_customer", now=timezone.now())

        html = act(admin_client, "cancel", order)

        assert "Nothing was cancelled: this order is already cancelled." in html
        assert "Cancelled 0" not in html
        assert Order.objects.get().cancel_reason == "by_customer"
        assert not LogEntry.objects.exists()

    def test_requires_the_permission_to_change_orders(self):
        make_stock()
        order = place_order()

        act(operator_who_may("orders.view_order"), "cancel", order)

        assert Order.objects.get().status == "placed"


class TestList:
    @pytest.mark.parametrize(("days", "finds"), [("1", 1), ("7", 1), ("30", 2), ("", 3), ("x", 3), ("9" * 400, 3)])
    def test_filters_by_the_days_since_orders_were_placed(self, admin_client, days, finds):
        make_stock()
        for ago in (0, 20, 40):
            order = place_order()
            Order.objects.filter(pk=order.pk).update(placed_at=timezone.now() - timedelta(days=ago))

        response = admin_client.get(page(Order), {"placed_days": days})

        assert response.context["cl"].result_count == finds

    def test_counts_only_so_many(self, admin_client, monkeypatch):
        monkeypatch.setattr("messaging.kernel.admin.MOST_PAGED", 2)
        make_stock()
        for _ in range(3):
            place_order()

        html = admin_client.get(page(Order)).content.decode()

        assert "2+ orders" in html


class TestSearch:
    @pytest.mark.parametrize(
        ("term", "finds"),
        [
            *[(term, True) for term in ("{0.pk}", "{0.pk.hex}", "ada@example.com", "ada", "basket-1", " basket-1 ")],
            *[(term, False) for term in ("basket", "00000000-0000-7000-8000-000000000000", "' OR 1=1")],
        ],
    )
    def test_finds_an_order_by_a_whole_value(self, admin_client, term, finds):
        make_stock()
        order = place_order(idempotency_key="basket-1")

        response = admin_client.get(page(Order), {"q": term.format(order)})

        assert list(response.context["cl"].queryset) == [order] * finds

    @pytest.mark.parametrize("model", [Order, OrderLine, HistoryEntry])
    def test_finds_an_order_by_its_number_however_it_is_written(self, admin_client, model):
        make_stock()
        order, _ = place_order(), place_order()
        spellings = [order.number, order.number.lower().replace("-", ""), f" {order.number.replace('-', ' ')} "]

        found = [admin_client.get(page(model), {"q": spelling}).context["cl"].result_count for spelling in spellings]

        assert found == [1, 1, 1]

    def test_says_that_a_number_is_mistyped(self, admin_client):
        mistyped, unknown = (admin_client.get(page(Order), {"q": q}) for q in ("K7Q4-M2X1", "K7Q4-M2X0"))

        assert "The order number K7Q4-M2X1 is mistyped: no order can have it." in mistyped.content.decode()
        assert "mistyped" not in unknown.content.decode()
