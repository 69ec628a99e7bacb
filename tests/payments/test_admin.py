from datetime import UTC, datetime

import pytest
from django.contrib.admin.models import LogEntry

from payments import refunds, services
from payments.models import PaymentIntent, Refund
from tests.operators import act, open_every_page_of, operator_who_may, page
from tests.payments.test_services import request

pytestmark = pytest.mark.django_db

NOON = datetime(2030, 6, 1, 12, tzinfo=UTC)


@pytest.fixture
def paid(ledger) -> PaymentIntent:
    asked = request(amount=10_000)
    services.collect([asked], now=NOON)
    return PaymentIntent.objects.get()


def give_back(intent: PaymentIntent, amount: int) -> Refund:
    return refunds.refund(str(intent.order_id), amount=amount, reason="a scratch", now=NOON)


def test_every_page_opens(admin_client, paid):
    give_back(paid, 100)

    assert open_every_page_of("payments", admin_client) == {"PaymentIntent": 200, "Refund": 200}


@pytest.mark.parametrize("model", [PaymentIntent, Refund])
def test_nobody_edits_by_hand(admin_client, paid, model):
    give_back(paid, 100)
    row = model.objects.get()

    answers = [
        admin_client.post(page(model, "add")),
        admin_client.post(page(model, "change", row.pk), {"status": "succeeded"}),
        admin_client.post(page(model, "delete", row.pk), {"post": "yes"}),
    ]

    assert [answer.status_code for answer in answers] == [403, 403, 403]


def test_a_payment_shows_its_money_and_leads_to_its_order(admin_client, paid):
    give_back(paid, 4_000)

    shown = admin_client.get(page(PaymentIntent, "change", paid.pk)).content.decode()

    assert "100.00 GBP" in shown
    assert "40.00 GBP" in shown
    assert f"/admin/orders/order/?q={paid.order_id}" in shown


def test_the_payments_of_a_customer_are_found(admin_client, paid):
    services.collect([request(customer_id="18")], now=NOON)

    found = admin_client.get(page(PaymentIntent), {"q": "17"}).content.decode()

    assert str(paid.order_id) in found
    assert "1 payment intent" in found


class TestRefundRest:
    def test_gives_back_what_is_left_and_names_the_operator_only_to_the_shop(self, admin_client, paid, ledger, drain):
        give_back(paid, 4_000)

        told = act(admin_client, "refund_rest", paid)
        drain()

        assert "Requested 1 refund." in told
        assert set(Refund.objects.values_list("amount", "status", "reason")) == {
            (4_000, "succeeded", "a scratch"),
            (6_000, "succeeded", "by the shop"),
        }
        assert LogEntry.objects.values_list("user__username", "object_id", "change_message").get() == (
            "admin",
            str(paid.pk),
            "Refunded 60.00 GBP.",
        )

    def test_says_when_nothing_is_left(self, admin_client, paid):
        give_back(paid, 10_000)

        told = act(admin_client, "refund_rest", paid)

        assert "Nothing of this order is left to refund." in told
        assert "Requested" not in told
        assert Refund.objects.count() == 1
        assert not LogEntry.objects.exists()

    def test_is_for_those_who_may_add_refunds(self, paid):
        act(operator_who_may("payments.view_paymentintent"), "refund_rest", paid)

        assert not Refund.objects.exists()
