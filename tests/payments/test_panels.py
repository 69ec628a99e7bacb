"""
Refunds of an order and queries to the gateway, from the page of the order in the admin.
"""

import re

import pytest
from django.contrib.admin.models import LogEntry
from django.core import mail
from django.test import Client

from orders.models import Order
from payments.gateway.protocol import Unreachable
from payments.models import PaymentIntent, Refund
from tests.factories import make_stock, place_order
from tests.operators import operator_who_may, page
from tests.payments.books import RefundRow, refund_rows

pytestmark = pytest.mark.django_db


@pytest.fixture
def paid(drain) -> Order:
    make_stock()
    order = place_order({"RED-CHAIR": 2})
    drain()
    return order


@pytest.fixture
def pending(drain, ledger) -> PaymentIntent:
    make_stock()
    place_order(payment_method="tok_pending")
    drain()
    return PaymentIntent.objects.get()


def refund(client: Client, order: Order, **fields: str) -> str:
    return client.post(page(Order, "do", order.pk, "refund"), fields, follow=True).content.decode()


def ask(client: Client, intent: PaymentIntent) -> str:
    return client.post(page(Order, "do", intent.order_id, "ask-gateway"), follow=True).content.decode()


class TestRefund:
    def test_refunds_half_and_tells_the_customer_why(self, admin_client, paid, drain):
        html = refund(admin_client, paid, amount="45", reason="One chair was scratched.")
        drain()

        assert f"{paid.number}: Refunded 45.00 GBP." in html
        assert refund_rows() == [RefundRow(4_500, "succeeded", "One chair was scratched.")]
        entries = LogEntry.objects.values_list("user__username", "object_id", "change_message")
        assert list(entries) == [("admin", str(paid.pk), "Refunded 45.00 GBP. Reason: One chair was scratched.")]
        assert "The reason: One chair was scratched." in mail.outbox[-1].body
        assert paid.refunds.values_list("amount", "reason").get() == (4_500, "One chair was scratched.")
        html = admin_client.get(page(Order, "change", paid.pk)).content.decode()
        assert "refund of 45.00 GBP requested: One chair was scratched." in html
        assert "Refunded 45.00 GBP. Reason:" in html

    def test_refunds_the_rest_without_an_amount(self, admin_client, paid, drain):
        refund(admin_client, paid, amount="60.01", reason="")
        refund(admin_client, paid)
        drain()

        assert refund_rows() == [
            RefundRow(6_001, "succeeded", "by the shop"),
            RefundRow(2_999, "succeeded", "by the shop"),
        ]
        assert Order.objects.get().status == "refunded"

    @pytest.mark.parametrize(
        ("amount", "complaint"),
        [
            ("90.01", "Refund between 0.01 GBP and 90.00 GBP of this order, not 90.01 GBP."),
            ("0", "Refund between 0.01 GBP and 90.00 GBP of this order, not 0.00 GBP."),
            ("0.005", "0.005 GBP has more decimals than GBP."),
            *((text, "write it like 12.50") for text in ("much", "12,50", "-1", "1e2", "NaN", "١٢", "9" * 16)),
            ("9" * 30, "at most 20 characters"),
            ("1\0", "Null characters are not allowed."),
        ],
    )
    def test_rejects_an_amount(self, admin_client, paid, amount, complaint):
        html = refund(admin_client, paid, amount=amount)

        assert complaint in html
        assert refund_rows() == []
        assert not LogEntry.objects.exists()

    def test_does_not_refund_twice_if_the_form_is_sent_twice(self, admin_client, paid):
        html = admin_client.get(page(Order, "do", paid.pk, "refund")).content.decode()
        form = {"amount": "20", "returned_before": re.search(r'name="returned_before" value="(\d+)"', html)[1]}

        refund(admin_client, paid, **form)
        second = refund(admin_client, paid, **form)

        assert "Something was refunded after this page was opened." in second
        assert Refund.objects.count() == 1

    def test_is_refused_if_nothing_is_left(self, admin_client, paid):
        refund(admin_client, paid)

        assert "Nothing of this order is left to refund." in refund(admin_client, paid)
        assert Refund.objects.count() == 1

    def test_needs_the_permission_to_add_refunds(self, paid):
        client = operator_who_may("orders.view_order", "payments.view_paymentintent")

        refund(client, paid)

        assert refund_rows() == []
        assert "/do/refund/" not in client.get(page(Order, "change", paid.pk)).content.decode()


class TestAskGateway:
    def test_applies_the_answer_at_once(self, admin_client, pending, ledger, drain):
        ledger.approve(str(pending.pk))

        html = ask(admin_client, pending)
        drain()

        assert "Asked the gateway: the payment is succeeded." in html
        assert Order.objects.get().status == "confirmed"
        assert LogEntry.objects.get().change_message == "Asked the gateway: the payment is succeeded."

    def test_tells_that_the_payment_is_still_open(self, admin_client, pending):
        assert "Asked the gateway: the payment is processing." in ask(admin_client, pending)

    def test_tells_that_there_was_no_answer(self, admin_client, pending, ledger):
        ledger.script.append(Unreachable("The line is dead."))

        assert "Asked the gateway, which gave no final answer" in ask(admin_client, pending)

    def test_is_refused_if_no_payment_is_open(self, admin_client, paid):
        html = admin_client.get(page(Order, "do", paid.pk, "ask-gateway")).content.decode()

        assert "This order has no open payment: there is nothing to ask." in html
