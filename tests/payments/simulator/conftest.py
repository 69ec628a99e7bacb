from collections.abc import Iterator

import pytest

from payments.simulator.server import Simulator
from tests.payments.scripted_server import ScriptedServer
from tests.payments.simulator.bench import Bench
from tests.simulators import ApiClient, running


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def client(bench: Bench) -> ApiClient:
    return bench.client()


@pytest.fixture
def shop() -> Iterator[ScriptedServer]:
    """
    A shop that receives webhooks.
    """
    with ScriptedServer() as shop:
        yield shop


@pytest.fixture
def sending(bench: Bench, shop: ScriptedServer) -> Iterator[Bench]:
    """
    A provider that sends its webhooks to `shop`.
    """
    with bench.sending_to(shop.url):
        yield bench


@pytest.fixture(scope="session")
def standing() -> Iterator[Simulator]:
    """
    Run one simulator for all tests that store nothing in it.
    """
    with running() as simulator:
        yield simulator
