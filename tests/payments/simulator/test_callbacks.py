import threading
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from payments.simulator.callbacks import ACKNOWLEDGED, FAILED, REFUSED, Courier, outcome_of, wait_after
from payments.simulator.entries import Kind
from payments.simulator.server import Simulator
from tests.payments.simulator.benches import NEXT_SECRET, NOBODY, SECRET, Bench, Client, Shop
from tests.waiting import eventually

Start = Callable[..., Simulator]


def answers(simulator: Simulator, key: str = "charge-1") -> list[tuple[str, int]]:
    charge = simulator.bank.find(key)
    return [(answer.reason, answer.detail["status"]) for answer in charge.of_kind(Kind.ANSWERED)]


class TestCourier:
    def test_signs_what_it_tells(self, client: Client, shop: Shop) -> None:
        client.charge()
        eventually(lambda: shop.told)

        [told] = shop.told
        body = told.verified()
        assert body == {
            "type": "payment.succeeded",
            "timestamp": body["timestamp"],
            "data": {
                "key": "charge-1",
                "reference": client.get("/v1/charges/charge-1").json()["reference"],
                "order_id": "order-1",
                "status": "succeeded",
                "reason": "",
                "amount": 4_500,
                "currency": "GBP",
            },
        }
        assert told.headers["Content-Type"] == "application/json"

    def test_signs_with_every_secret_the_first_first(self, start: Start, shop: Shop) -> None:
        client = Client(start(callback_url=shop.url, secrets=[SECRET, NEXT_SECRET]).address)

        client.charge()
        eventually(lambda: shop.told)

        [told] = shop.told
        assert told.verified(SECRET) == told.verified(NEXT_SECRET)
        first, _ = told.headers["webhook-signature"].split(" ")
        told.headers["webhook-signature"] = first
        assert Webhook(SECRET).verify(told.body, told.headers)

    @pytest.mark.parametrize(
        ("token", "complaint"),
        [("tok_bad_signature", "No matching signature found"), ("tok_old_timestamp", "Message timestamp too old")],
    )
    def test_spoils_the_signature_when_told_to(self, client: Client, shop: Shop, token: str, complaint: str) -> None:
        client.charge(token=token)
        eventually(lambda: shop.told)

        with pytest.raises(WebhookVerificationError, match=complaint):
            shop.told[0].verified()

    def test_signs_rightly_what_is_old(self, client: Client, shop: Shop) -> None:
        client.charge(token="tok_old_timestamp")
        eventually(lambda: shop.told)

        [told] = shop.told
        signed_at = datetime.fromtimestamp(int(told.headers["webhook-timestamp"]), UTC)
        assert told.headers["webhook-signature"] == Webhook(SECRET).sign(told.id, signed_at, told.body.decode())

    def test_posts_twenty_at_once(self, client: Client, shop: Shop) -> None:
        client.charge(token="tok_callback_twenty")
        eventually(lambda: len(shop.told) == 20)

        assert len({(told.id, told.body) for told in shop.told}) == 1
        assert shop.told[-1].at - shop.told[0].at < 2

    def test_tells_the_right_thing_first_when_reordered(self, client: Client, shop: Shop) -> None:
        client.charge(token="tok_callback_reordered")
        eventually(lambda: len(shop.told) == 2)

        assert shop.statuses_told() == ["succeeded", "processing"]

    def test_tells_again_what_was_not_acknowledged(self, start: Start) -> None:
        with Shop(503, 204) as shop:
            simulator = start(callback_url=shop.url)
            Client(simulator.address).charge()
            eventually(lambda: len(answers(simulator)) == 2)

        first, again = shop.told
        assert (first.id, first.body) == (again.id, again.body)
        assert again.verified()
        assert again.at - first.at > 0.45
        assert answers(simulator) == [("failed", 503), ("acknowledged", 204)]
        assert simulator.ledger.open_entries() == []

    def test_takes_a_refusal_as_final(self, start: Start) -> None:
        with Shop(400) as shop:
            simulator = start(callback_url=shop.url)
            Client(simulator.address).charge()
            eventually(lambda: answers(simulator))

        assert answers(simulator) == [("refused", 400)]
        assert simulator.ledger.open_entries() == []

    def test_calls_a_closed_shop_again(self, start: Start) -> None:
        simulator = start(callback_url=NOBODY)
        Client(simulator.address).charge()
        eventually(lambda: answers(simulator))

        [first, *_] = simulator.bank.find("charge-1").of_kind(Kind.ANSWERED)
        assert (first.reason, first.detail["status"], first.detail["attempt"]) == ("failed", 0, 1)
        assert (first.due - first.at).total_seconds() == pytest.approx(0.5, abs=0.1)

    def test_spares_the_shop_a_second_bad_signature(self, start: Start) -> None:
        with Shop(500) as shop:
            simulator = start(callback_url=shop.url)
            Client(simulator.address).charge(token="tok_bad_signature")
            eventually(lambda: answers(simulator))

        assert simulator.ledger.open_entries() == []

    def test_sends_nothing_that_was_sent(self, bench: Bench, shop: Shop) -> None:
        bench.paid()
        courier = Courier(bench.ledger, url=shop.url, signing_secrets=[SECRET])

        for _ in range(2):
            courier.send(bench.sent[0])

        assert len(shop.told) == 1

    def test_delivers_many_while_one_shop_is_slow(self, start: Start) -> None:
        everybody = threading.Barrier(20, timeout=10)

        class SlowShop(Shop):
            def take(self, told: object) -> int:
                everybody.wait()
                return super().take(told)

        with SlowShop() as shop:
            client = Client(start(callback_url=shop.url).address)
            for n in range(20):
                client.charge(f"charge-{n}")
            eventually(lambda: len(shop.told) == 20)

    def test_needs_a_secret(self, bench: Bench) -> None:
        with pytest.raises(ValueError, match="without a secret"):
            Courier(bench.ledger, url=NOBODY, signing_secrets=[])


class TestCallbackBeforeAnswer:
    def test_reaches_the_shop_first(self, start: Start) -> None:
        statuses: list[str] = []

        class CuriousShop(Shop):
            def take(self, told) -> int:
                statuses.append(told.data["status"])
                return super().take(told)

        with CuriousShop() as shop:
            simulator = start(callback_url=shop.url)
            answer = Client(simulator.address).charge(token="tok_callback_before_answer")

            assert (answer.status_code, answer.json()["status"], statuses) == (200, "succeeded", ["succeeded"])
        assert answers(simulator) == [("acknowledged", 204)]

    def test_is_answered_though_the_shop_is_closed(self, start: Start) -> None:
        simulator = start(callback_url=NOBODY)

        assert Client(simulator.address).charge(token="tok_callback_before_answer").status_code == 200
        assert answers(simulator) == [("failed", 0)]


class TestOutcomeOf:
    @pytest.mark.parametrize(
        ("statuses", "outcome"),
        [((200, 202, 204), ACKNOWLEDGED), ((400, 401, 404, 413), REFUSED), ((0, 302, 429, 500, 503), FAILED)],
    )
    def test_tells_what_has_to_be_sent_again(self, statuses: tuple[int, ...], outcome: str) -> None:
        assert {outcome_of(status) for status in statuses} == {outcome}


class TestWaitAfter:
    def test_doubles_up_to_a_minute(self) -> None:
        assert [wait_after(attempt) for attempt in (1, 2, 3, 4, 7, 8, 9, 5_000)] == [0.5, 1, 2, 4, 32, 60, 60, 60]
