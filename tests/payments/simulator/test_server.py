import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from payments.simulator.entries import Kind
from payments.simulator.server import Simulator, listen, running
from tests.payments.simulator.benches import NOBODY, SECRET, Client, Shop
from tests.waiting import eventually

Start = Callable[..., Simulator]

SLOW = 200


class TestRunning:
    def test_ends_with_its_block(self, ledger_path: Path) -> None:
        with running(ledger=ledger_path, callback_url=NOBODY, secrets=[SECRET]) as simulator:
            client = Client(simulator.address)
            assert client.get("/").status_code == 200

        with pytest.raises(requests.ConnectionError):
            client.get("/")

    def test_goes_on_where_it_was(self, ledger_path: Path, shop: Shop) -> None:
        conduct = {"ledger": ledger_path, "secrets": [SECRET]}
        with running(**conduct, callback_url=NOBODY, delay=0.01) as simulator:
            client = Client(simulator.address)
            client.charge("called-back-later")
            client.charge("waiting", token="tok_pending")
            eventually(lambda: simulator.bank.find("called-back-later").of_kind(Kind.ANSWERED))
        with running(**conduct, callback_url=NOBODY, delay=0.3) as simulator:
            Client(simulator.address).charge("captured-later")
        with running(**conduct, callback_url=shop.url) as simulator:
            client = Client(simulator.address)
            eventually(lambda: len(shop.told) == 2)

            assert {told.data["key"] for told in shop.told} == {"called-back-later", "captured-later"}
            assert client.status("captured-later") == "succeeded"
            assert client.status("waiting") == "processing"

    def test_sends_nothing_again_that_was_acknowledged(self, ledger_path: Path, shop: Shop) -> None:
        conduct = {"ledger": ledger_path, "secrets": [SECRET], "callback_url": shop.url, "delay": 0.01}
        with running(**conduct) as simulator:
            Client(simulator.address).charge()
            eventually(lambda: simulator.bank.find("charge-1").of_kind(Kind.ANSWERED))
        with running(**conduct) as simulator:
            assert simulator.ledger.open_entries() == []

    def test_leaves_nobody_waiting_behind_hundreds_of_slow_answers(self, start: Start) -> None:
        client = Client(start(slow_seconds=0.5).address)
        began = time.monotonic()

        with ThreadPoolExecutor(SLOW) as pool:
            answers = list(pool.map(lambda n: client.charge(f"charge-{n}", token="tok_slow"), range(SLOW)))

        assert {answer.json()["status"] for answer in answers} <= {"processing", "succeeded"}
        assert time.monotonic() - began < SLOW / 20

    def test_draws_the_same_for_the_same_seed(self, tmp_path: Path) -> None:
        def drawn(run: str) -> list[str]:
            with running(
                ledger=tmp_path / run, callback_url=NOBODY, secrets=[SECRET], seed=5, rates={"never": 0.5}
            ) as simulator:
                client = Client(simulator.address)
                for n in range(12):
                    client.charge(f"charge-{n}")
                return [simulator.bank.find(f"charge-{n}").behaviour.name for n in range(12)]

        assert drawn("once") == drawn("again")

    def test_refuses_an_address_in_use(self, start: Start) -> None:
        port = int(start().address.rpartition(":")[2])

        with pytest.raises(OSError, match="in use"):
            listen("127.0.0.1", port)
