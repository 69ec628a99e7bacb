"""
The page of one order in the admin, and what an operator does there.
"""

import re

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.utils import timezone

from messaging.models import Delivery
from orders import services
from orders.models import Order, OrderNote
from payments.gateway.protocol import Unreachable
from tests.factories import make_stock, place_order
from tests.operators import operator_who_may, page
from tests.outbox import counting_statements

pytestmark = pytest.mark.django_db

MOST_STATEMENTS = 20
VIEW = (
    *("orders.view_order", "payments.view_paymentintent", "inventory.view_reservation"),
    *("notifications.view_notification", "messaging.view_delivery"),
)


def html_of(client: Client, order: Order) -> str:
    return client.get(page(Order, "change", order.pk)).content.decode()


def words_of(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html.partition('id="content-main"')[2]).split())


def panel(html: str, title: str) -> str:
    return words_of('id="content-main"' + html.partition(f"<h2>{title}</h2>")[2].partition("</section>")[0])


def action(order: Order, name: str) -> str:
    return page(Order, "do", order.pk, name)


def buttons(html: str) -> list[str]:
    return re.findall(r'<a class="button"[^>]*>([^<]+)</a>', html)


@pytest.fixture(autouse=True)
def _chairs():
    make_stock()


class TestPage:
    def test_shows_the_order_its_money_stock_messages_and_timeline(self, admin_client, drain):
        order = place_order({"RED-CHAIR": 2}, phone="+441134960000", note="Ring twice.\nThen wait.")
        drain()

        html = html_of(admin_client, order)

        shown = panel(html, "Order")
        assert all(text in shown for text in ("confirmed", "ada", "ada@example.com", "+441134960000", "Ring twice."))
        assert "RED-CHAIR Red chair 2 45.00 GBP 90.00 GBP" in panel(html, "Lines")
        assert "Reservation committed" in panel(html, "Stock")
        money = panel(html, "Money")
        assert all(text in money for text in ("Asked 90.00 GBP", "Captured 90.00 GBP", "Open 0.00 GBP", "succeeded"))
        assert "order_confirmed accepted ada@example.com" in panel(html, "Messages to the customer")
        assert "Not delivered" in panel(html, "Deliveries")  # what is due later, such as the reminder
        timeline = panel(html, "Timeline")
        told = ["placed", "stock held: 2 x RED-CHAIR", "captured 90.00 GBP", "orders.order_confirmed caused by"]
        assert [text for text in told if text not in timeline] == []
        assert f"<h1>Order {order.number}</h1>" in html

    def test_shows_what_failed_and_offers_to_repair_it(self, admin_client, drain, ledger):
        ledger.script.append(Unreachable("The <line> is dead."))
        order = place_order()
        drain()
        Delivery.objects.filter(subscriber="notifications.acknowledge_order").update(status="dead", delivered_at=None)

        html = html_of(admin_client, order)

        assert "The &lt;line&gt; is dead." in panel(html, "Deliveries")
        assert "Dead 1" in panel(html, "Deliveries")
        assert "Replay dead letters" in buttons(html)

    def test_shows_an_order_of_which_nothing_is_known_yet(self, admin_client):
        html = html_of(admin_client, place_order())

        assert "Reservation none yet" in panel(html, "Stock")
        assert "Sent none yet" in panel(html, "Messages to the customer")
        assert buttons(html) == ["Cancel the order", "Add a note"]

    def test_lacks_what_the_operator_may_not_see_or_do(self, drain):
        order = place_order()
        drain()

        html = html_of(operator_who_may("orders.view_order"), order)

        assert re.findall(r"<h2>([^<]+)</h2>", html)[:3] == ["Order", "Lines", "Timeline"]
        assert buttons(html) == []
        assert "captured" not in panel(html, "Timeline")

    @pytest.mark.parametrize("who", ["superuser", "staff"])
    def test_costs_at_most_as_many_statements_as_any_page(self, admin_client, drain, who):
        order = place_order()
        drain()
        client = admin_client if who == "superuser" else operator_who_may(*VIEW)
        html_of(client, order)

        with counting_statements() as statements:
            html_of(client, order)

        assert len(statements) <= MOST_STATEMENTS, [query["sql"] for query in statements.captured_queries]

    @pytest.mark.parametrize("pk", ["x", "00000000-0000-7000-8000-000000000000", "%00", "9" * 500])
    def test_of_no_order_leads_back_or_is_not_found(self, admin_client, pk):
        assert admin_client.get(f"/admin/orders/order/{pk}/change/").status_code == 302
        assert admin_client.get(f"/admin/orders/order/{pk}/do/cancel/").status_code == 404


class TestActions:
    def test_lead_to_a_page_that_says_what_will_happen_and_changes_nothing(self, admin_client, drain):
        order = place_order()
        drain()
        Delivery.objects.filter(subscriber="notifications.send_confirmation").update(status="dead", delivered_at=None)
        offered = re.findall(r'href="(/admin/orders/order/[^"]+/do/[^"]+/)"', html_of(admin_client, order))

        pages = {url.split("/")[-2]: admin_client.get(url) for url in offered}

        assert list(pages) == ["note", "refund", "send-again", "replay"]
        assert all('class="panel-consequences"' in response.content.decode() for response in pages.values())
        assert not LogEntry.objects.exists()

    def test_are_no_pages_without_a_name(self, admin_client):
        assert admin_client.get(action(place_order(), "destroy")).status_code == 404

    def test_require_a_csrf_token(self, admin_user):
        order = place_order()
        client = Client(enforce_csrf_checks=True)
        client.force_login(admin_user)

        assert client.post(action(order, "cancel")).status_code == 403
        assert Order.objects.get().status == "placed"

    @pytest.mark.parametrize("name", ["cancel", "note", "refund", "ask-gateway", "send-again", "replay"])
    def test_are_refused_without_permission(self, drain, name):
        order = place_order()
        client = operator_who_may(*VIEW)

        assert client.get(action(order, name)).status_code == 403
        assert client.post(action(order, name), {"text": "x"}).status_code == 403
        assert not LogEntry.objects.exists()

    def test_are_refused_to_who_may_not_see_orders(self):
        order = place_order()

        client = operator_who_may("orders.add_ordernote")

        assert client.post(action(order, "note"), {"text": "x"}).status_code == 403
        assert not OrderNote.objects.exists()


class TestCancel:
    def test_cancels_and_logs_who_and_why(self, admin_client):
        order = place_order()

        response = admin_client.post(action(order, "cancel"), {"reason": "She rang."}, follow=True)

        assert f"{order.number}: Cancelled." in response.content.decode()
        assert Order.objects.values_list("status", "cancel_reason").get() == ("cancelled", "by_operator")
        entries = LogEntry.objects.values_list("user__username", "object_id", "change_message")
        assert list(entries) == [("admin", str(order.pk), "Cancelled. Reason: She rang.")]
        assert "admin: Cancelled. Reason: She rang." in panel(response.content.decode(), "Timeline")

    def test_is_refused_for_a_final_order(self, admin_client):
        order = place_order()
        services.cancel_order(str(order.pk), reason="by_customer", now=timezone.now())

        shown = admin_client.get(action(order, "cancel"))
        done = admin_client.post(action(order, "cancel"))

        for response in (shown, done):
            assert "Nothing was cancelled: this order is already cancelled." in response.content.decode()
        assert not LogEntry.objects.exists()


class TestNote:
    def test_is_shown_on_the_page_and_logged(self, admin_client):
        order = place_order()

        response = admin_client.post(action(order, "note"), {"text": "Rang: <b>blue</b>, please."}, follow=True)

        html = response.content.decode()
        assert "admin Rang: &lt;b&gt;blue&lt;/b&gt;, please." in panel(html, "Notes of operators")
        assert OrderNote.objects.values_list("author", "text").get() == ("admin", "Rang: <b>blue</b>, please.")
        assert LogEntry.objects.values_list("change_message", flat=True).get() == "Added a note."

    @pytest.mark.parametrize("text", ["", "  ", "a\0b", "x" * 2_001])
    def test_rejects_an_invalid_text(self, admin_client, text):
        response = admin_client.post(action(place_order(), "note"), {"text": text})

        assert response.status_code == 200
        assert "errorlist" in response.content.decode()
        assert not OrderNote.objects.exists()
        assert not LogEntry.objects.exists()
