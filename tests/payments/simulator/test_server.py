import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from payments.simulator.ledger import EntryKind
from payments.simulator.server import Simulator, listen
from tests.simulators import ApiClient, WebhookReceiver, running
from tests.waiting import eventually

Start = Callable[..., Simulator]

SLOW_RESPONSES = 200


class TestSimulator:
    def test_stops(self, ledger_path: Path) -> None:
        with running(ledger=ledger_path) as simulator:
            client = ApiClient(simulator.address)
            assert client.get("/").status_code == 200

        with pytest.raises(requests.ConnectionError):
            client.get("/")

    def test_continues_from_its_ledger(self, ledger_path: Path, shop: WebhookReceiver) -> None:
        with running(ledger=ledger_path, delay=0.01) as simulator:
            client = ApiClient(simulator.address)
            client.charge("sent-again")
            client.charge("pending", token="tok_pending")
            eventually(lambda: simulator.processor.find("sent-again").of_kind(EntryKind.WEBHOOK_RESULT))
        with running(ledger=ledger_path, delay=0.3) as simulator:
            ApiClient(simulator.address).charge("captured-later")
        with running(ledger=ledger_path, callback_url=shop.url) as simulator:
            client = ApiClient(simulator.address)
            eventually(lambda: len(shop.received) == 2)

            assert {webhook.data["key"] for webhook in shop.received} == {"sent-again", "captured-later"}
            assert client.status("captured-later") == "succeeded"
            assert client.status("pending") == "processing"

    def test_sends_no_acknowledged_webhook_again(self, ledger_path: Path, shop: WebhookReceiver) -> None:
        config = {"ledger": ledger_path, "callback_url": shop.url, "delay": 0.01}
        with running(**config) as simulator:
            ApiClient(simulator.address).charge()
            eventually(lambda: simulator.processor.find("charge-1").of_kind(EntryKind.WEBHOOK_RESULT))
        with running(**config) as simulator:
            assert simulator.ledger.open_entries() == []

    def test_answers_hundreds_of_slow_requests_at_once(self, start: Start) -> None:
        client = ApiClient(start(slow_seconds=0.5).address)
        began = time.monotonic()

        with ThreadPoolExecutor(SLOW_RESPONSES) as pool:
            responses = pool.map(lambda n: client.charge(f"charge-{n}", token="tok_slow"), range(SLOW_RESPONSES))

        assert {response.json()["status"] for response in responses} <= {"processing", "succeeded"}
        assert time.monotonic() - began < SLOW_RESPONSES / 20

    def test_answers_others_while_a_client_sends_slowly(self, standing: Simulator) -> None:
        host, port = standing.address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as slow:
            slow.sendall(b"POST /v1/charges HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n{")

            assert ApiClient(standing.address).get("/v1/faults").status_code == 200

    def test_draws_the_same_faults_for_the_same_seed(self, tmp_path: Path) -> None:
        def draw(run: str) -> list[str]:
            with running(ledger=tmp_path / run, seed=5, rates={"never": 0.5}) as simulator:
                client = ApiClient(simulator.address)
                for n in range(12):
                    client.charge(f"charge-{n}")
                return [simulator.processor.find(f"charge-{n}").behaviour.name for n in range(12)]

        assert draw("first") == draw("second")

    def test_rejects_an_address_in_use(self, start: Start) -> None:
        port = int(start().address.rpartition(":")[2])

        with pytest.raises(OSError, match="in use"):
            listen("127.0.0.1", port)
