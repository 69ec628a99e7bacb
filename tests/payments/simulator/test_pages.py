from collections.abc import Callable
from urllib.parse import unquote

import pytest

from payments.simulator.behaviours import BEHAVIOURS
from payments.simulator.buttons import BUTTONS
from payments.simulator.pages import money
from payments.simulator.server import Simulator
from tests.payments.simulator.benches import Client, Shop
from tests.waiting import eventually

Start = Callable[..., Simulator]


def press(client: Client, button: str, key: str = "charge-1", **form: str) -> str:
    """
    Press a button, and return what the page then says.
    """
    answer = client.post(f"/payments/{key}/{button}", data=form)
    assert answer.status_code == 303
    path, said = answer.headers["Location"].split("?said=")
    assert path == f"/payments/{key}"
    return unquote(said)


class TestOverview:
    def test_lists_payments_totals_and_tokens(self, client: Client) -> None:
        client.charge()
        client.charge("charge-2", token="tok_pending", amount=1_000, currency="JPY", order_id="order-2")
        eventually(lambda: client.status() == "succeeded")
        client.refund(amount=1_000)

        page = client.get("/").text

        for words in ("45.00 GBP", "10.00 GBP refunded", "1,000 JPY", "order-1", "order-2", "succeeded", "processing"):
            assert words in page
        assert [name for name, behaviour in BEHAVIOURS.items() if behaviour.token not in page] == []
        assert f'href="/payments/{client.get("/v1/charges/charge-1").json()["reference"]}"' in page

    def test_has_a_word_when_there_is_nothing(self, client: Client) -> None:
        assert "None yet." in client.get("/").text

    def test_escapes_what_it_was_told(self, client: Client) -> None:
        client.charge(order_id="<script>alert(1)<")

        assert "<script>" not in client.get("/").text

    def test_has_its_own_style(self, client: Client) -> None:
        assert client.get("/style.css").headers["Content-Type"] == "text/css; charset=utf-8"


class TestPayment:
    def test_shows_its_callbacks_with_the_answers_of_the_shop(self, client: Client, shop: Shop) -> None:
        client.charge()
        eventually(lambda: "acknowledged" in client.get("/payments/charge-1").text)

        page = client.get(client.charge().json()["page"].removeprefix(client.address)).text

        for words in (shop.told[0].id, "<strong>204</strong> acknowledged", "captured", "payment.succeeded"):
            assert words in page
        assert [button for button in BUTTONS if f'/{button}"' not in page] == []

    def test_shows_a_charge_that_never_arrived(self, client: Client) -> None:
        client.post("/v1/charges/charge-1/cancel")

        assert "A payment that never arrived" in client.get("/payments/charge-1").text

    def test_is_missing_when_nobody_asked_for_it(self, client: Client) -> None:
        assert client.get("/payments/nobody").status_code == 404
        assert client.post("/payments/nobody/approve").status_code == 404

    def test_repeats_what_happened(self, client: Client) -> None:
        client.charge()

        assert "&lt;b&gt;Done.&lt;/b&gt;" in client.get("/payments/charge-1?said=<b>Done.</b>").text


class TestButtons:
    @pytest.fixture(autouse=True)
    def _is_pending(self, client: Client) -> None:
        client.charge(token="tok_pending")

    @pytest.mark.parametrize(
        ("button", "status", "said"),
        [
            ("approve", "succeeded", "Approved: the money is captured."),
            ("decline", "declined", "Declined: fraud."),
            ("cancel", "cancelled", "Cancelled."),
        ],
    )
    def test_decide_and_tell_the_shop(self, client: Client, shop: Shop, button: str, status: str, said: str) -> None:
        assert press(client, button, reason="fraud") == said

        assert client.status() == status
        eventually(lambda: shop.statuses_told() == [status])

    def test_decline_only_by_a_reason(self, client: Client) -> None:
        assert press(client, "decline", reason="envy") == "Choose one of the reasons to decline."
        assert client.status() == "processing"

    def test_pay_late(self, client: Client, shop: Shop) -> None:
        press(client, "cancel")

        assert press(client, "pay_late") == "Paid, although it was cancelled."
        assert client.status() == "succeeded"
        eventually(lambda: sorted(shop.statuses_told()) == ["cancelled", "succeeded"])

    @pytest.mark.parametrize(("button", "times"), [("call_again", 1), ("call_twice", 2), ("call_twenty", 20)])
    def test_send_the_very_same_callback_again(self, client: Client, shop: Shop, button: str, times: int) -> None:
        press(client, "approve")
        press(client, button)

        eventually(lambda: len(shop.told) == 1 + times)
        assert len({(told.id, told.body) for told in shop.told}) == 1

    def test_tell_what_was_never_told(self, client: Client, shop: Shop) -> None:
        client.charge("charge-2", token="tok_never")
        eventually(lambda: client.status("charge-2") == "succeeded")

        press(client, "call_again", "charge-2")

        eventually(lambda: shop.statuses_told() == ["succeeded"])

    @pytest.mark.parametrize("wrongly", ["sign_badly", "name_wrong_amount", "contradict"])
    def test_mislead_the_shop(self, client: Client, shop: Shop, wrongly: str) -> None:
        press(client, "approve")
        eventually(lambda: len(shop.told) == 1)

        press(client, wrongly)

        eventually(lambda: len(shop.told) == 2)
        right, wrong = shop.told
        assert right.id != wrong.id
        assert (wrong.data["status"], wrong.data["amount"]) == {
            "sign_badly": ("succeeded", 4_500),
            "name_wrong_amount": ("succeeded", 4_501),
            "contradict": ("declined", 4_500),
        }[wrongly]

    @pytest.mark.parametrize(
        ("button", "said"),
        [
            ("approve", "Not possible: this payment is succeeded, and has to be processing for that."),
            ("decline", "Not possible: this payment is succeeded, and has to be processing for that."),
            ("cancel", "Not possible: this payment is succeeded, and has to be processing for that."),
            ("pay_late", "Not possible: this payment is succeeded, and has to be cancelled for that."),
            ("refund", "There is no such button."),
        ],
    )
    def test_say_what_cannot_be_done(self, client: Client, button: str, said: str) -> None:
        press(client, "approve")

        assert press(client, button) == said

    def test_do_nothing_to_a_charge_that_never_arrived(self, client: Client) -> None:
        client.post("/v1/charges/charge-2/cancel")

        assert "there is nothing to press" in press(client, "pay_late", "charge-2")


class TestMoney:
    @pytest.mark.parametrize(
        ("minor", "currency", "written"),
        [
            (1_250, "GBP", "12.50 GBP"),
            (1_250, "JPY", "1,250 JPY"),
            (1_250, "RSD", "12.50 RSD"),
            (123_456_789, "KWD", "123,456.789 KWD"),
        ],
    )
    def test_is_written_as_its_currency_is(self, minor: int, currency: str, written: str) -> None:
        assert money(minor, currency) == written
