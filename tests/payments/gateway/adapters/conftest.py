from collections.abc import Iterator
from dataclasses import replace

import pytest

from payments.gateway.adapters.simulated import SimulatedGateway
from tests.payments.scripted_server import ScriptedServer
from tests.webhooks import SECRET


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as server:
        yield server


@pytest.fixture
def gateway(server, settings) -> SimulatedGateway:
    """
    The adapter that calls the scripted server.
    """
    settings.PAYMENTS = replace(
        settings.PAYMENTS, simulator_url=f"{server.url}/", timeout_seconds=5, webhook_secrets=(SECRET,)
    )
    return SimulatedGateway()
