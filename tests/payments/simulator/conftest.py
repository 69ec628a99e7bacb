"""
A bank with a clock of the test's, and a simulator that really serves beside a shop that is really called.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from payments.simulator.server import Simulator, running
from tests.payments.simulator.benches import NOBODY, SECRET, Bench, Client, Shop

Start = Callable[..., Simulator]


@pytest.fixture
def ledger_path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite3"


@pytest.fixture
def bench(ledger_path: Path) -> Iterator[Bench]:
    bench = Bench(ledger_path)
    yield bench
    bench.ledger.close()


@pytest.fixture
def shop() -> Iterator[Shop]:
    with Shop() as shop:
        yield shop


@pytest.fixture
def start(ledger_path: Path) -> Iterator[Start]:
    """
    Start simulators that are quick, and stop them after the test.
    """
    quick = {"ledger": ledger_path, "callback_url": NOBODY, "secrets": [SECRET], "delay": 0.02, "slow_seconds": 0.2}
    with ExitStack() as stack:

        def start(**conduct: Any) -> Simulator:
            return stack.enter_context(running(**quick | conduct))

        yield start


@pytest.fixture(scope="session")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    """
    A simulator for all tests that leave nothing in it.
    """
    ledger = tmp_path_factory.mktemp("standing") / "ledger.sqlite3"
    with running(ledger=ledger, callback_url=NOBODY, secrets=[SECRET]) as simulator:
        yield simulator


@pytest.fixture
def client(start: Start, shop: Shop) -> Client:
    """
    A client of a simulator that calls the shop.
    """
    return Client(start(callback_url=shop.url).address)
