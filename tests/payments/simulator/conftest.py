from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from payments.simulator.server import Simulator
from tests.payments.simulator.bench import Bench
from tests.simulators import ApiClient, WebhookReceiver, running

Start = Callable[..., Simulator]


@pytest.fixture
def ledger_path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite3"


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def shop() -> Iterator[WebhookReceiver]:
    with WebhookReceiver() as shop:
        yield shop


@pytest.fixture
def start(ledger_path: Path) -> Iterator[Start]:
    """
    Start simulators with short delays, and stop them after the test.
    """
    defaults = {"ledger": ledger_path, "delay": 0.02, "slow_seconds": 0.2}
    with ExitStack() as stack:

        def start(**config: Any) -> Simulator:
            return stack.enter_context(running(**defaults | config))

        yield start


@pytest.fixture(scope="session")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    """
    Run one simulator for all tests that store nothing in it.
    """
    with running(ledger=tmp_path_factory.mktemp("standing") / "ledger.sqlite3") as simulator:
        yield simulator


@pytest.fixture
def client(start: Start, shop: WebhookReceiver) -> ApiClient:
    """
    A client of a simulator that sends its webhooks to `shop`.
    """
    return ApiClient(start(callback_url=shop.url).address)
