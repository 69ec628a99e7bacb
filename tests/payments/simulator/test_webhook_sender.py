import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from payments.simulator.ledger import EntryKind
from payments.simulator.webhooks import ACKNOWLEDGED, FAILED, REFUSED, outcome_of, retry_seconds
from tests.payments.scripted_server import RecordedRequest, ScriptedServer, responding
from tests.payments.simulator.bench import Bench
from tests.simulators import CLOSED_PORT, NEXT_SECRET, SECRET, ApiClient, running
from tests.waiting import eventually


def results(bench: Bench) -> list[tuple[str, int]]:
    charge = bench.processor.find("charge-1")
    return [(result.reason, result.detail["status"]) for result in charge.of_kind(EntryKind.WEBHOOK_RESULT)]


def verified(webhook: RecordedRequest, secret: str = SECRET) -> dict[str, Any]:
    return Webhook(secret).verify(webhook.content, webhook.headers)


class TestWebhookSender:
    def test_signs_webhooks(self, sending: Bench, shop: ScriptedServer) -> None:
        charge = sending.paid()

        [webhook] = shop.requests
        assert verified(webhook) == {
            "type": "payment.succeeded",
            "timestamp": "2026-11-22T12:01:00+00:00",
            "data": {
                "key": "charge-1",
                "reference": charge.reference,
                "order_id": "order-1",
                "status": "succeeded",
                "reason": "",
                "amount": 4_500,
                "currency": "GBP",
            },
        }
        assert webhook.headers["content-type"] == "application/json"

    def test_signs_with_every_secret_in_their_order(self, bench: Bench, shop: ScriptedServer) -> None:
        with bench.sending_to(shop.url, SECRET, NEXT_SECRET):
            bench.paid()

        [webhook] = shop.requests
        assert verified(webhook, SECRET) == verified(webhook, NEXT_SECRET)
        first, _ = webhook.headers["webhook-signature"].split(" ")
        assert Webhook(SECRET).verify(webhook.content, {**webhook.headers, "webhook-signature": first})

    def test_sends_an_invalid_signature(self, sending: Bench, shop: ScriptedServer) -> None:
        sending.paid("tok_bad_signature")

        with pytest.raises(WebhookVerificationError, match="No matching signature found"):
            verified(shop.requests[0])

    def test_sends_an_expired_signature_by_the_right_secret(self, sending: Bench, shop: ScriptedServer) -> None:
        sending.paid("tok_old_timestamp")

        [webhook] = shop.requests
        with pytest.raises(WebhookVerificationError, match="Message timestamp too old"):
            verified(webhook)
        signed_at = datetime.fromtimestamp(int(webhook.headers["webhook-timestamp"]), UTC)
        signature = Webhook(SECRET).sign(webhook.headers["webhook-id"], signed_at, webhook.content.decode())
        assert webhook.headers["webhook-signature"] == signature

    def test_retries_a_failed_webhook(self, sending: Bench, shop: ScriptedServer) -> None:
        shop.script.append(responding(503))
        sending.charge()
        sending.wait(0.5)
        sending.wait(0.4)
        assert results(sending) == [("failed", 503)]

        sending.wait(0.1)

        assert results(sending) == [("failed", 503), ("acknowledged", 200)]
        first, again = shop.requests
        assert (first.headers["webhook-id"], first.content) == (again.headers["webhook-id"], again.content)
        assert verified(again)
        assert sending.ledger.open_entries() == []

    @pytest.mark.parametrize(
        ("token", "result"), [("tok_visa", ("refused", 400)), ("tok_bad_signature", ("failed", 500))]
    )
    def test_retries_neither_a_refused_webhook_nor_an_invalid_signature(
        self, sending: Bench, shop: ScriptedServer, token: str, result: tuple[str, int]
    ) -> None:
        shop.script.append(responding(result[1]))

        sending.paid(token)

        assert (results(sending), sending.ledger.open_entries()) == ([result], [])

    def test_retries_when_the_shop_is_down(self, bench: Bench) -> None:
        with bench.sending_to(CLOSED_PORT):
            bench.charge()
            bench.wait(0.5)

        [result] = bench.processor.find("charge-1").of_kind(EntryKind.WEBHOOK_RESULT)
        assert (result.reason, result.detail["status"], result.detail["attempt"]) == ("failed", 0, 1)
        assert result.due - result.at == timedelta(seconds=0.5)

    def test_sends_a_webhook_once(self, bench: Bench, shop: ScriptedServer) -> None:
        bench.paid()

        with bench.sending_to(shop.url):
            for _ in range(2):
                bench.send(bench.sent[0])

        assert len(shop.requests) == 1

    def test_sends_many_to_a_slow_shop_at_once(self, shop: ScriptedServer) -> None:
        arrived = threading.Barrier(20, timeout=10)

        def respond_when_all_have_arrived(handler: BaseHTTPRequestHandler) -> None:
            arrived.wait()
            responding()(handler)

        shop.script.extend([respond_when_all_have_arrived] * 20)
        with running(callback_url=shop.url, delay=0.02) as simulator:
            for n in range(20):
                ApiClient(simulator.address).charge(f"charge-{n}")
            eventually(lambda: len(simulator.ledger.entries("kind = ?", EntryKind.WEBHOOK_RESULT)) == 20)

        assert (len(shop.requests), arrived.broken) == (20, False)


class TestWebhookBeforeResponse:
    def test_arrives_first(self, sending: Bench, client: ApiClient, shop: ScriptedServer) -> None:
        answer = client.charge(token="tok_callback_before_answer")

        assert (answer.status_code, answer.json()["status"]) == (200, "succeeded")
        assert [webhook.body["data"]["status"] for webhook in shop.requests] == ["succeeded"]
        assert results(sending) == [("acknowledged", 200)]

    def test_is_followed_by_the_response_when_the_shop_is_down(self, bench: Bench, client: ApiClient) -> None:
        with bench.sending_to(CLOSED_PORT):
            assert client.charge(token="tok_callback_before_answer").status_code == 200

        assert results(bench) == [("failed", 0)]


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
