from urllib.parse import unquote

import pytest

from payments.simulator.behaviours import BEHAVIOURS
from payments.simulator.pages import ACTIONS, money
from payments.simulator.webhooks import Signature
from tests.payments.scripted_server import ScriptedServer
from tests.payments.simulator.bench import Bench
from tests.simulators import ApiClient


def act(client: ApiClient, action: str, key: str = "charge-1", **form: str) -> str:
    """
    Perform an action, and return the message of the page that it redirects to.
    """
    response = client.post(f"/payments/{key}/{action}", data=form)
    assert response.status_code == 303
    path, message = response.headers["Location"].split("?said=")
    assert path == f"/payments/{key}"
    return unquote(message)


def sent_statuses(bench: Bench) -> list[str]:
    bench.wait(0)
    return [body["data"]["status"] for body in bench.sent_bodies()]


class TestOverview:
    def test_lists_payments_totals_and_tokens(self, bench: Bench, client: ApiClient) -> None:
        charge = bench.paid()
        bench.charge("tok_pending", key="charge-2", amount=1_000, currency="JPY", order_id="order-2")
        bench.refund(amount=1_000)

        page = client.get("/").text

        for words in ("45.00 GBP", "10.00 GBP refunded", "1,000 JPY", "order-1", "order-2", "succeeded", "processing"):
            assert words in page
        assert [name for name, behaviour in BEHAVIOURS.items() if behaviour.token not in page] == []
        assert f'href="/payments/{charge.reference}"' in page
        assert page.index("order-2") < page.index("order-1")

    def test_says_that_there_are_no_payments(self, client: ApiClient) -> None:
        assert "No payments yet." in client.get("/").text

    def test_escapes_data_of_requests(self, client: ApiClient) -> None:
        client.charge(order_id="<script>alert(1)<")
        assert "<script>" not in client.get("/").text

    def test_serves_its_stylesheet(self, client: ApiClient) -> None:
        assert client.get("/style.css").headers["Content-Type"] == "text/css; charset=utf-8"


class TestPayment:
    def test_shows_webhooks_with_the_responses_of_the_shop(
        self, sending: Bench, client: ApiClient, shop: ScriptedServer
    ) -> None:
        sending.paid()

        page = client.get(client.charge().json()["page"]).text

        webhook_id = shop.requests[0].headers["webhook-id"]
        for words in (webhook_id, "<strong>200</strong> acknowledged", "captured", "payment.succeeded"):
            assert words in page
        assert [action for action in ACTIONS if f'/{action}"' not in page] == []

    def test_offers_only_what_is_possible(self, bench: Bench, client: ApiClient) -> None:
        bench.charge("tok_pending")

        page = client.get("/payments/charge-1").text

        assert '<button disabled title="The payment must be cancelled.">Pay late</button>' in page
        assert "<button>Approve</button>" in page

    def test_is_shown_without_actions_when_it_was_cancelled_before_it_arrived(self, client: ApiClient) -> None:
        client.post("/v1/charges/charge-1/cancel")

        assert "Cancelled before it was requested" in client.get("/payments/charge-1").text
        assert "no action is possible" in act(client, "pay_late")

    def test_is_404_for_an_unknown_payment(self, client: ApiClient) -> None:
        responses = [client.get("/payments/unknown"), client.post("/payments/unknown/approve")]

        assert [response.status_code for response in responses] == [404, 404]
        assert "No payment has the key or reference <code>unknown</code>" in responses[0].text

    def test_escapes_its_message(self, client: ApiClient) -> None:
        client.charge()
        assert "&lt;b&gt;Done.&lt;/b&gt;" in client.get("/payments/charge-1?said=<b>Done.</b>").text


class TestActions:
    @pytest.fixture(autouse=True)
    def _is_pending(self, bench: Bench) -> None:
        bench.charge("tok_pending")

    @pytest.mark.parametrize(
        ("action", "status", "message"),
        [
            ("approve", "succeeded", "Approved."),
            ("decline", "declined", "Declined: fraud."),
            ("cancel", "cancelled", "Cancelled."),
        ],
    )
    def test_decide_a_payment_and_send_a_webhook(
        self, bench: Bench, client: ApiClient, action: str, status: str, message: str
    ) -> None:
        assert act(client, action, reason="fraud") == message

        assert (client.status(), sent_statuses(bench)) == (status, [status])

    def test_decline_only_for_a_listed_reason(self, client: ApiClient) -> None:
        assert act(client, "decline", reason="envy") == "Choose one of the decline reasons."
        assert client.status() == "processing"

    def test_capture_after_cancellation(self, bench: Bench, client: ApiClient) -> None:
        act(client, "cancel")

        assert act(client, "pay_late") == "Paid late."
        assert (client.status(), sent_statuses(bench)) == ("succeeded", ["cancelled", "succeeded"])

    @pytest.mark.parametrize(("action", "times"), [("call_again", 1), ("call_twice", 2), ("call_twenty", 20)])
    def test_send_the_same_webhook_again(self, bench: Bench, client: ApiClient, action: str, times: int) -> None:
        act(client, "approve")
        act(client, action)

        assert sent_statuses(bench) == ["succeeded"] * (1 + times)
        assert len({(webhook.key, webhook.detail["body"]) for webhook in bench.sent}) == 1

    def test_send_a_webhook_that_was_never_sent(self, bench: Bench, client: ApiClient) -> None:
        bench.paid("tok_never", key="charge-2")

        act(client, "call_again", "charge-2")

        assert sent_statuses(bench) == ["succeeded"]

    @pytest.mark.parametrize(
        ("action", "expected"),
        [
            ("sign_badly", ("succeeded", 4_500, Signature.INVALID)),
            ("name_wrong_amount", ("succeeded", 4_501, Signature.VALID)),
            ("contradict", ("declined", 4_500, Signature.VALID)),
        ],
    )
    def test_send_distorted_webhooks(self, bench: Bench, client: ApiClient, action: str, expected: tuple) -> None:
        act(client, "approve")
        act(client, action)
        bench.wait(0)

        right, wrong = bench.sent
        data = bench.sent_bodies()[1]["data"]
        assert (data["status"], data["amount"], wrong.detail["signature"]) == expected
        assert right.key != wrong.key

    @pytest.mark.parametrize(
        ("action", "needed"),
        [("approve", "processing"), ("decline", "processing"), ("cancel", "processing"), ("pay_late", "cancelled")],
    )
    def test_say_why_they_are_not_possible(self, client: ApiClient, action: str, needed: str) -> None:
        act(client, "approve")

        assert act(client, action) == f"Not possible: this payment is succeeded; it must be {needed}."
        assert act(client, "refund") == "There is no such action."


class TestMoney:
    @pytest.mark.parametrize(
        ("minor", "currency", "written"),
        [
            (1_250, "GBP", "12.50 GBP"),
            (1_250, "JPY", "1,250 JPY"),
            (123_456_789, "KWD", "123,456.789 KWD"),
            (1_250, "RSD", "12.50 RSD"),
            (1_250, "IQD", "1.250 IQD"),
        ],
    )
    def test_has_the_decimals_of_iso_4217(self, minor: int, currency: str, written: str) -> None:
        assert money(minor, currency) == written
