from datetime import UTC, datetime

import pytest
from django.contrib.admin.models import LogEntry

from payments import refunds
from payments.charges import services
from payments.models import Capture, PaymentIntent, Refund, WebhookEvent
from tests.operators import act, open_every_page_of, operator_who_may, page
from tests.payments.scenes import captured, deliver, given_back, payload_of, payment_requested

pytestmark = pytest.mark.django_db

NOON = datetime(2030, 6, 1, 12, tzinfo=UTC)


@pytest.fixture
def paid(ledger) -> PaymentIntent:
    asked = payment_requested(amount=10_000)
    services.collect([asked], now=NOON)
    return PaymentIntent.objects.get()


def give_back(intent: PaymentIntent, amount: int) -> Refund:
    (refund,) = refunds.refund(str(intent.order_id), amount=amount, reason="a scratch", now=NOON)
    return refund


def test_every_page_opens(admin_client, paid, ledger):
    give_back(paid, 100)
    deliver(ledger, payload_of(paid))

    assert open_every_page_of("payments", admin_client) == {
        "PaymentIntent": 200,
        "Capture": 200,
        "Refund": 200,
        "WebhookEvent": 200,
    }


@pytest.mark.parametrize("model", [PaymentIntent, Capture, Refund, WebhookEvent])
def test_nobody_edits_by_hand(admin_client, paid, ledger, model):
    give_back(paid, 100)
    deliver(ledger, payload_of(paid))
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


def test_a_payment_shows_what_came_for_it_and_leads_to_what_became_of_that(admin_client, paid):
    give_back(paid, 4_000)

    shown = admin_client.get(page(PaymentIntent, "change", paid.pk)).content.decode()

    assert f"instant-{paid.pk}" in shown
    assert f"/admin/payments/refund/?q={paid.order_id}" in shown
    assert f"/admin/payments/webhookevent/?q={paid.pk}" in shown


def test_a_webhook_shows_its_body_as_it_came(admin_client, paid, ledger):
    deliver(ledger, payload_of(paid, event_id="evt_<1>"))
    webhook = WebhookEvent.objects.get()

    shown = admin_client.get(page(WebhookEvent, "change", webhook.pk)).content.decode()

    assert shown.count("evt_&lt;1&gt;") >= 2
    assert "100.00 GBP" in shown
    assert bytes(webhook.body) == b"evt_<1>"


@pytest.mark.parametrize("model", [Capture, Refund, WebhookEvent])
def test_the_money_of_an_order_is_found(admin_client, paid, ledger, model):
    services.collect([payment_requested()], now=NOON)
    for intent in PaymentIntent.objects.all():
        give_back(intent, 100)
        deliver(ledger, payload_of(intent))

    found = admin_client.get(page(model), {"q": str(paid.order_id)}).content.decode()

    assert f"1 {model._meta.verbose_name}" in found
    assert "100.00 GBP" in found if model is not Refund else "1.00 GBP" in found


def test_the_payments_of_a_customer_are_found(admin_client, paid):
    services.collect([payment_requested(customer_id="18")], now=NOON)

    found = admin_client.get(page(PaymentIntent), {"q": "17"}).content.decode()

    assert str(paid.order_id) in found
    assert "1 payment intent" in found


class TestRefundRest:
    def test_refuses_an_amount_since_it_would_give_all_back(self, admin_client, paid):
        told = act(admin_client, "refund_rest", paid, amount="5")

        assert "Amount: leave it empty to refund the rest." in told
        assert given_back() == []

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


class TestRefundAmount:
    @pytest.mark.parametrize(
        ("typed", "given"),
        [("60", 6_000), ("60.00", 6_000), (" 60.5 ", 6_050), ("0.01", 1), ("100", 10_000)],
    )
    def test_gives_so_much_of_a_payment_back(self, admin_client, paid, typed, given):
        told = act(admin_client, "refund_amount", paid, amount=typed)

        assert "Requested 1 refund." in told
        assert given_back() == [(given, "pending", "by the shop")]
        assert LogEntry.objects.get().change_message == f"Refunded {given / 100:.2f} GBP."

    def test_reads_an_amount_in_the_currency_of_each_payment(self, admin_client, ledger):
        services.collect([payment_requested(amount=10_000, currency="JPY")], now=NOON)

        act(admin_client, "refund_amount", PaymentIntent.objects.get(), amount="60")

        assert given_back() == [(60, "pending", "by the shop")]

    @pytest.mark.parametrize("typed", ["", "   "])
    def test_asks_how_much(self, admin_client, paid, typed):
        told = act(admin_client, "refund_amount", paid, amount=typed)

        assert "Amount: enter the amount to refund of each payment." in told
        assert given_back() == []

    @pytest.mark.parametrize(
        "typed",
        [
            "much",
            "60 GBP",
            "12,50",
            "1e2",
            "-1",
            "١٢",
            "1,000.00",
            "0x10",
            "NaN",
            "Infinity",
            "1e999999",
            "1e-999999",
            "9" * 5_000,
            "\x00",
        ],
    )
    def test_refuses_what_is_no_amount(self, admin_client, paid, typed):
        told = act(admin_client, "refund_amount", paid, amount=typed)

        assert "Amount: " in told
        assert "Requested" not in told
        assert (given_back(), captured()) == ([], [(10_000, "GBP", "", 0)])

    def test_refuses_less_than_a_penny(self, admin_client, paid):
        told = act(admin_client, "refund_amount", paid, amount="0.005")

        assert "0.005 GBP has more decimals than GBP." in told
        assert given_back() == []

    @pytest.mark.parametrize("typed", ["0", "40.01", "100", "1000000000"])
    def test_refuses_more_than_is_left_and_less_than_anything(self, admin_client, paid, typed):
        give_back(paid, 6_000)

        told = act(admin_client, "refund_amount", paid, amount=typed)

        assert "Refund between 0.01 GBP and 40.00 GBP of this order" in told
        assert given_back() == [(6_000, "pending", "a scratch")]
        assert not LogEntry.objects.exists()

    def test_gives_the_same_back_of_each_that_has_so_much(self, admin_client, paid, ledger):
        services.collect([payment_requested(amount=500), payment_requested(amount=7_000)], now=NOON)

        told = act(admin_client, "refund_amount", *PaymentIntent.objects.all(), amount="60")

        assert "Requested 2 refunds." in told
        assert "Refund between 0.01 GBP and 5.00 GBP of this order, not 60.00 GBP." in told
        assert given_back() == [(6_000, "pending", "by the shop")] * 2

    def test_is_for_those_who_may_add_refunds(self, paid):
        act(operator_who_may("payments.view_paymentintent"), "refund_amount", paid, amount="60")

        assert given_back() == []
