import re

import pytest
from django.contrib.admin.models import LogEntry
from django.utils import timezone

from messaging import contracts
from orders import services
from orders.models import HistoryEntry, Order, OrderLine, Product
from tests.factories import make_product, make_stock, place_order
from tests.operators import act, open_every_page_of, operator_who_may, page
from tests.outbox import announced, counting_statements, published

pytestmark = pytest.mark.django_db


def test_every_page_opens(admin_client):
    make_stock()
    place_order()

    assert open_every_page_of("orders", admin_client) == {
        "Product": 200,
        "Order": 200,
        "OrderLine": 200,
        "HistoryEntry": 200,
    }


@pytest.mark.parametrize("model", [Order, OrderLine, HistoryEntry])
def test_nobody_edits_by_hand(admin_client, model):
    make_stock()
    place_order()
    row = model.objects.get()

    answers = [
        admin_client.post(page(model, "add")),
        admin_client.post(page(model, "change", row.pk), {"status": "confirmed"}),
        admin_client.post(page(model, "delete", row.pk), {"post": "yes"}),
    ]

    assert [answer.status_code for answer in answers] == [403, 403, 403]


class TestProducts:
    def test_a_new_one_is_announced(self, admin_client):
        answer = admin_client.post(page(Product, "add"), {"sku": "RED-CHAIR", "name": "Red chair", "price": "45.00"})

        assert answer.status_code == 302
        assert Product.objects.values("sku", "name", "price", "sold_out").get() == {
            "sku": "RED-CHAIR",
            "name": "Red chair",
            "price": 4_500,
            "sold_out": True,
        }
        assert published(contracts.ProductAdded) == [contracts.ProductAdded(sku="RED-CHAIR", name="Red chair")]

    @pytest.mark.parametrize(
        "wrong",
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
    def test_a_wrong_one_is_refused(self, admin_client, wrong):
        make_product(sku="OAK-TABLE")

        answer = admin_client.post(page(Product, "add"), {"sku": "RED-CHAIR", "name": "Chair", "price": 1} | wrong)

        assert "Please correct the error" in answer.content.decode()
        assert list(Product.objects.values_list("sku", flat=True)) == ["OAK-TABLE"]
        assert announced() == {}

    def test_an_edit_changes_what_was_edited_and_nothing_else(self, admin_client):
        product = make_product(sku="RED-CHAIR", price=4_500, sold_out=True)

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

    def test_show_their_price_as_people_write_it(self, admin_client):
        product = make_product(price=24_900)

        assert 'name="price" value="249.00"' in admin_client.get(page(Product, "change", product.pk)).content.decode()

    def test_are_marked_when_they_are_in_stock(self, admin_client):
        make_product(sku="OAK-TABLE", sold_out=True)
        make_product(sku="RED-CHAIR", sold_out=False)

        listed = admin_client.get(page(Product)).content.decode()

        assert re.findall(r"icon-(yes|no)\.svg", listed) == ["yes", "no", "yes", "yes"]  # active, in stock
        assert "45.00 GBP" in listed

    def test_none_is_deleted(self, admin_client):
        product = make_product(sku="RED-CHAIR")

        assert admin_client.post(page(Product, "delete", product.pk), {"post": "yes"}).status_code == 403


class TestAnOrdersPage:
    def test_shows_its_money_and_leads_to_what_others_know_of_it(self, admin_client):
        make_stock()
        order = place_order({"RED-CHAIR": 2})

        shown = admin_client.get(page(Order, "change", order.pk)).content.decode()

        assert "90.00 GBP" in shown
        assert "minor units" not in shown
        assert "45.00 GBP" in shown
        assert re.findall(rf"/admin/([a-z/]+)/\?q={order.pk}", shown) == [
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
    def test_cancels_each_order_in_the_operators_name(self, admin_client):
        make_stock()
        orders = [place_order(), place_order()]

        told = act(admin_client, "cancel", *orders)

        assert "Cancelled 2 orders." in told
        assert set(Order.objects.values_list("status", "cancel_reason")) == {("cancelled", "by_operator")}
        logged = LogEntry.objects.values_list("user__username", "object_id", "change_message")
        assert set(logged) == {("admin", str(order.pk), "Cancelled.") for order in orders}

    def test_says_why_a_final_order_stays_as_it_is(self, admin_client):
        make_stock()
        order = place_order()
        services.cancel_order(str(order.pk), reason="by_customer", now=timezone.now())

        told = act(admin_client, "cancel", order)

        assert "Nothing was cancelled: this order is already cancelled." in told
        assert "Cancelled 0" not in told
        assert Order.objects.get().cancel_reason == "by_customer"
        assert not LogEntry.objects.exists()

    def test_is_for_those_who_may_change_orders(self):
        make_stock()
        order = place_order()

        act(operator_who_may("orders.view_order"), "cancel", order)

        assert Order.objects.get().status == "placed"


class TestSearch:
    @pytest.mark.parametrize("term", ["{0.pk}", "{0.pk.hex}", "ada@example.com", "ada", "basket-1", " basket-1 "])
    def test_finds_an_order_by(self, admin_client, term):
        make_stock()
        order = place_order(idempotency_key="basket-1")

        answer = admin_client.get(page(Order), {"q": term.format(order)})

        assert list(answer.context["cl"].queryset) == [order]

    @pytest.mark.parametrize("term", ["basket", "00000000-0000-7000-8000-000000000000", "' OR 1=1"])
    def test_finds_nothing_by(self, admin_client, term):
        make_stock()
        place_order(idempotency_key="basket-1")

        answer = admin_client.get(page(Order), {"q": term})

        assert list(answer.context["cl"].queryset) == []
