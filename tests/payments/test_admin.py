import pytest
from django.contrib.admin.models import LogEntry
from django.utils.html import escape

from payments import reconciliation
from payments.models import Capture, PaymentIntent, Reconciliation, Refund, WebhookEvent
from tests.operators import act, open_every_page_of, operator_who_may, page
from tests.payments.books import CaptureRow, RefundRow, capture_rows, refund_rows
from tests.payments.scenes import collect, deliver, payload_of, request_refund

pytestmark = pytest.mark.django_db

NO_AMOUNTS = [
    *("much", "60 GBP", "12,50", "1,000.00", "1e2", "-1", "١٢", "0x10", "NaN", "Infinity"),
    *("1e999999", "1e-999999", "9" * 5_000, "\x00"),
]


@pytest.fixture
def paid(ledger) -> PaymentIntent:
    return collect(amount=10_000)


@pytest.fixture
def _a_row_of_each_model(paid, ledger):
    reconciliation.reconcile_lately()
    request_refund(paid.order_id, 100)
    deliver(payload_of(paid))


@pytest.mark.usefixtures("_a_row_of_each_model")
def test_every_page_opens(admin_client):
    models = ["PaymentIntent", "Capture", "Refund", "WebhookEvent", "Reconciliation"]
    assert open_every_page_of("payments", admin_client) == dict.fromkeys(models, 200)


@pytest.mark.usefixtures("_a_row_of_each_model")
@pytest.mark.parametrize("model", [PaymentIntent, Capture, Refund, WebhookEvent, Reconciliation])
def test_no_page_changes_a_row(admin_client, model):
    row = model.objects.get()

    responses = [
        admin_client.post(page(model, "add")),
        admin_client.post(page(model, "change", row.pk), {"status": "succeeded"}),
        admin_client.post(page(model, "delete", row.pk), {"post": "yes"}),
    ]

    assert [response.status_code for response in responses] == [403, 403, 403]


@pytest.mark.usefixtures("_a_row_of_each_model")
@pytest.mark.parametrize("model", [PaymentIntent, Capture, Refund])
@pytest.mark.parametrize("spelling", ["K7Q4-M2X0", "k7q4m2x0", " K7Q4 M2XO "])
def test_an_order_is_found_by_its_number_however_it_is_written(admin_client, model, spelling):
    PaymentIntent.objects.update(number="K7Q4-M2X0")

    assert admin_client.get(page(model), {"q": spelling}).context["cl"].result_count == 1


def test_a_payment_shows_its_amounts_and_links_to_its_order_captures_and_webhooks(admin_client, paid):
    request_refund(paid.order_id, 4_000)

    html = admin_client.get(page(PaymentIntent, "change", paid.pk)).content.decode()

    assert "100.00 GBP" in html
    assert "40.00 GBP" in html
    assert f"/admin/orders/order/{paid.order_id}/change/" in html
    assert f"instant-{paid.pk}" in html
    assert f"/admin/payments/refund/?q={paid.order_id}" in html
    assert f"/admin/payments/webhookevent/?q={paid.pk}" in html


def test_a_webhook_shows_its_raw_body(admin_client, paid, ledger):
    deliver(payload_of(paid, event_id="evt_<1>", order_id="<b>"))
    webhook = WebhookEvent.objects.get()
    body = bytes(webhook.body).decode()

    html = admin_client.get(page(WebhookEvent, "change", webhook.pk)).content.decode()

    assert '"order_id": "<b>"' in body
    assert all(text in html for text in ("evt_&lt;1&gt;", escape(body), "100.00 GBP"))


@pytest.mark.parametrize("model", [Capture, Refund, WebhookEvent])
def test_the_rows_of_an_order_are_found(admin_client, paid, ledger, model):
    collect()
    for intent in PaymentIntent.objects.all():
        request_refund(intent.order_id, 100)
        deliver(payload_of(intent))

    html = admin_client.get(page(model), {"q": str(paid.order_id)}).content.decode()

    assert f"1 {model._meta.verbose_name}" in html
    assert "100.00 GBP" in html if model is not Refund else "1.00 GBP" in html


def test_the_payments_of_a_customer_are_found(admin_client, paid):
    collect(customer_id="18")

    html = admin_client.get(page(PaymentIntent), {"q": "17"}).content.decode()

    assert str(paid.order_id) in html
    assert "1 payment intent" in html


@pytest.mark.parametrize(
    ("action", "amount", "message"),
    [
        ("refund_rest", "5", "Amount: leave it empty to refund the rest."),
        ("refund_amount", "", "Amount: enter the amount to refund of each payment."),
        ("refund_amount", "   ", "Amount: enter the amount to refund of each payment."),
        ("refund_amount", "0.005", "0.005 GBP has more decimals than GBP."),
        *(("refund_amount", amount, "Amount: write it like 12.50, without a currency and") for amount in NO_AMOUNTS),
    ],
)
def test_actions_reject_what_is_no_amount_or_would_be_ignored(admin_client, paid, action, amount, message):
    html = act(admin_client, action, paid, amount=amount)

    assert message in html
    assert "Requested" not in html
    assert (refund_rows(), capture_rows()) == ([], [CaptureRow(10_000)])


@pytest.mark.parametrize(("action", "amount"), [("refund_rest", ""), ("refund_amount", "60")])
def test_actions_require_the_permission_to_add_refunds(paid, action, amount):
    act(operator_who_may("payments.view_paymentintent"), action, paid, amount=amount)

    assert refund_rows() == []


class TestRefundRest:
    def test_refunds_the_rest_and_names_the_operator_in_the_log_only(self, admin_client, paid, drain):
        request_refund(paid.order_id, 4_000)

        html = act(admin_client, "refund_rest", paid)
        drain()

        assert "Requested 1 refund." in html
        assert refund_rows() == [RefundRow(4_000, "succeeded"), RefundRow(6_000, "succeeded", "by the shop")]
        logged = LogEntry.objects.values_list("user__username", "object_id", "change_message")
        assert logged.get() == ("admin", str(paid.pk), "Refunded 60.00 GBP.")

    def test_says_that_nothing_is_left(self, admin_client, paid):
        request_refund(paid.order_id, 10_000)

        html = act(admin_client, "refund_rest", paid)

        assert "Nothing of this order is left to refund." in html
        assert "Requested" not in html
        assert (Refund.objects.count(), LogEntry.objects.count()) == (1, 0)


class TestRefundAmount:
    @pytest.mark.parametrize(
        ("amount", "refunded"),
        [("60", 6_000), ("60.00", 6_000), (" 60.5 ", 6_050), ("0.01", 1), ("100", 10_000)],
    )
    def test_refunds_the_amount(self, admin_client, paid, amount, refunded):
        html = act(admin_client, "refund_amount", paid, amount=amount)

        assert "Requested 1 refund." in html
        assert refund_rows() == [RefundRow(refunded, "pending", "by the shop")]
        assert LogEntry.objects.get().change_message == f"Refunded {refunded / 100:.2f} GBP."

    @pytest.mark.parametrize("amount", ["0", "40.01", "100", "1000000000"])
    def test_rejects_more_than_is_refundable_and_nothing(self, admin_client, paid, amount):
        request_refund(paid.order_id, 6_000)

        html = act(admin_client, "refund_amount", paid, amount=amount)

        assert "Refund between 0.01 GBP and 40.00 GBP of this order" in html
        assert refund_rows() == [RefundRow(6_000, "pending")]
        assert not LogEntry.objects.exists()

    def test_refunds_each_selected_payment_that_has_the_amount_in_its_currency(self, admin_client, paid):
        for amount, currency in [(500, "GBP"), (7_000, "GBP"), (10_000, "JPY")]:
            collect(amount=amount, currency=currency)

        html = act(admin_client, "refund_amount", *PaymentIntent.objects.all(), amount="60")

        assert "Requested 3 refunds." in html
        assert "Refund between 0.01 GBP and 5.00 GBP of this order, not 60.00 GBP." in html
        assert sorted(refund.amount for refund in refund_rows()) == [60, 6_000, 6_000]
