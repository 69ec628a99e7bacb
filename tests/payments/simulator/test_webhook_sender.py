import threading
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from payments.simulator.ledger import EntryKind
from payments.simulator.server import Simulator
from payments.simulator.webhooks import ACKNOWLEDGED, FAILED, REFUSED, WebhookSender, outcome_of, retry_seconds
from tests.payments.simulator.bench import Bench
from tests.simulators import CLOSED_PORT, NEXT_SECRET, SECRET, ApiClient, WebhookReceiver
from tests.waiting import eventually

Start = Callable[..., Simulator]


def results(simulator: Simulator) -> list[tuple[str, int]]:
    charge = simulator.processor.find("charge-1")
    return [(result.reason, result.detail["status"]) for result in charge.of_kind(EntryKind.WEBHOOK_RESULT)]


class TestWebhookSender:
    def test_signs_webhooks(self, client: ApiClient, shop: WebhookReceiver) -> None:
        client.charge()
        eventually(lambda: shop.received)

        [webhook] = shop.received
        body = webhook.verified()
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
        assert webhook.headers["content-type"] == "application/json"

    def test_signs_with_every_secret_in_their_order(self, start: Start, shop: WebhookReceiver) -> None:
        client = ApiClient(start(callback_url=shop.url, secrets=[SECRET, NEXT_SECRET]).address)

        client.charge()
        eventually(lambda: shop.received)

        [webhook] = shop.received
        assert webhook.verified(SECRET) == webhook.verified(NEXT_SECRET)
        first, _ = webhook.headers["webhook-signature"].split(" ")
        webhook.headers["webhook-signature"] = first
        assert Webhook(SECRET).verify(webhook.body, webhook.headers)

    @pytest.mark.parametrize(
        ("token", "error"),
        [("tok_bad_signature", "No matching signature found"), ("tok_old_timestamp", "Message timestamp too old")],
    )
    def test_sends_invalid_and_expired_signatures(
        self, client: ApiClient, shop: WebhookReceiver, token: str, error: str
    ) -> None:
        client.charge(token=token)
        eventually(lambda: shop.received)

        with pytest.raises(WebhookVerificationError, match=error):
            shop.received[0].verified()

    def test_signs_expired_webhooks_with_the_right_secret(self, client: ApiClient, shop: WebhookReceiver) -> None:
        client.charge(token="tok_old_timestamp")
        eventually(lambda: shop.received)

        [webhook] = shop.received
        signed_at = datetime.fromtimestamp(int(webhook.headers["webhook-timestamp"]), UTC)
        assert webhook.headers["webhook-signature"] == Webhook(SECRET).sign(
            webhook.id, signed_at, webhook.body.decode()
        )

    def test_sends_twenty_at_once(self, client: ApiClient, shop: WebhookReceiver) -> None:
        client.charge(token="tok_callback_twenty")
        eventually(lambda: len(shop.received) == 20)

        assert len({(webhook.id, webhook.body) for webhook in shop.received}) == 1
        assert shop.received[-1].at - shop.received[0].at < 2

    def test_sends_reordered_webhooks_in_their_order(self, client: ApiClient, shop: WebhookReceiver) -> None:
        client.charge(token="tok_callback_reordered")
        eventually(lambda: len(shop.received) == 2)

        assert shop.received_statuses() == ["succeeded", "processing"]

    def test_retries_a_failed_webhook(self, start: Start) -> None:
        with WebhookReceiver(503, 204) as shop:
            simulator = start(callback_url=shop.url)
            ApiClient(simulator.address).charge()
            eventually(lambda: len(results(simulator)) == 2)

        first, again = shop.received
        assert (first.id, first.body) == (again.id, again.body)
        assert again.verified()
        assert again.at - first.at > 0.45
        assert results(simulator) == [("failed", 503), ("acknowledged", 204)]
        assert simulator.ledger.open_entries() == []

    def test_does_not_retry_a_refused_webhook(self, start: Start) -> None:
        with WebhookReceiver(400) as shop:
            simulator = start(callback_url=shop.url)
            ApiClient(simulator.address).charge()
            eventually(lambda: results(simulator))

        assert results(simulator) == [("refused", 400)]
        assert simulator.ledger.open_entries() == []

    def test_retries_when_the_shop_is_down(self, start: Start) -> None:
        simulator = start(callback_url=CLOSED_PORT)
        ApiClient(simulator.address).charge()
        eventually(lambda: results(simulator))

        [first, *_] = simulator.processor.find("charge-1").of_kind(EntryKind.WEBHOOK_RESULT)
        assert (first.reason, first.detail["status"], first.detail["attempt"]) == ("failed", 0, 1)
        assert (first.due - first.at).total_seconds() == pytest.approx(0.5, abs=0.1)

    def test_does_not_retry_an_invalid_signature(self, start: Start) -> None:
        with WebhookReceiver(500) as shop:
            simulator = start(callback_url=shop.url)
            ApiClient(simulator.address).charge(token="tok_bad_signature")
            eventually(lambda: results(simulator))

        assert simulator.ledger.open_entries() == []

    def test_sends_a_webhook_once(self, bench: Bench, shop: WebhookReceiver) -> None:
        bench.paid()
        sender = WebhookSender(bench.ledger, url=shop.url, signing_secrets=[SECRET])

        for _ in range(2):
            sender.send(bench.sent[0])

        assert len(shop.received) == 1

    def test_sends_many_to_a_slow_shop_at_once(self, start: Start) -> None:
        barrier = threading.Barrier(20, timeout=10)

        class SlowReceiver(WebhookReceiver):
            def receive(self, webhook: object) -> int:
                barrier.wait()
                return super().receive(webhook)

        with SlowReceiver() as shop:
            client = ApiClient(start(callback_url=shop.url).address)
            for n in range(20):
                client.charge(f"charge-{n}")
            eventually(lambda: len(shop.received) == 20)

    def test_requires_a_secret(self, bench: Bench) -> None:
        with pytest.raises(ValueError, match="without a secret"):
            WebhookSender(bench.ledger, url=CLOSED_PORT, signing_secrets=[])


class TestWebhookBeforeResponse:
    def test_arrives_first(self, start: Start) -> None:
        statuses: list[str] = []

        class ObservantReceiver(WebhookReceiver):
            def receive(self, webhook) -> int:
                statuses.append(webhook.data["status"])
                return super().receive(webhook)

        with ObservantReceiver() as shop:
            simulator = start(callback_url=shop.url)
            answer = ApiClient(simulator.address).charge(token="tok_callback_before_answer")

            assert (answer.status_code, answer.json()["status"], statuses) == (200, "succeeded", ["succeeded"])
        assert results(simulator) == [("acknowledged", 204)]

    def test_is_followed_by_the_response_when_the_shop_is_down(self, start: Start) -> None:
        simulator = start(callback_url=CLOSED_PORT)

        assert ApiClient(simulator.address).charge(token="tok_callback_before_answer").status_code == 200
        assert results(simulator) == [("failed", 0)]


class TestOutcomeOf:
    @pytest.mark.parametrize(
        ("statuses", "outcome"),
        [((200, 202, 204), ACKNOWLEDGED), ((400, 401, 404, 413), REFUSED), ((0, 302, 429, 500, 503), FAILED)],
    )
    def test_separates_what_is_sent_again(self, statuses: tuple[int, ...], outcome: str) -> None:
        assert {outcome_of(status) for status in statuses} == {outcome}


class TestWaitAfter:
    def test_doubles_up_to_a_minute(self) -> None:
        assert [retry_seconds(attempt) for attempt in (1, 2, 3, 4, 7, 8, 9, 5_000)] == [0.5, 1, 2, 4, 32, 60, 60, 60]
