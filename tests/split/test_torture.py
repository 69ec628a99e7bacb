"""
Four services, their databases, the broker, the gateway and the proxy, really killed while customers order. `make
journeys` injects some faults at one service each. `make torture` injects each fault at each service, and goes on until
TORTURE_ORDERS are placed and each fault of the payment gateway has happened.

On SQLite there are no sessions at a database to end: its file is locked for some seconds instead.
"""

import os
from dataclasses import replace

import pytest

from tests.concurrency.running_shop import SEED, Plan
from tests.messaging.transports.servers import RabbitServer, RedisServer
from tests.split.conftest import TRANSPORTS
from tests.split.databases import service_databases
from tests.split.services import running_services
from tests.split.torture import SplitTorture, report_on

pytestmark = pytest.mark.django_db(transaction=True)

SERVERS = {"redis": RedisServer, "amqp": RabbitServer}

ENVIRONMENT = {
    "ORDER_REMINDER_SECONDS": "15",
    "ORDER_PAYMENT_DUE_SECONDS": "30",
    "PAYMENT_TIMEOUT_SECONDS": "2",
    "PAYMENT_WEBHOOK_PARKING_SECONDS": "15",
    "MESSAGING_HANDLER_LIMIT_SECONDS": "16",
    "MESSAGING_LEASE_SECONDS": "18",
}
ORDERS = int(os.environ.get("TORTURE_ORDERS", "2000"))
LONG = Plan(
    orders=ORDERS,
    burst=max(3, ORDERS // 130),
    rounds=1,
    seconds=float(os.environ.get("TORTURE_SECONDS", "480")),
    rate=0,
    of_each=3,
    refund_share=0,
    environment=ENVIRONMENT,
    simulator_options={"delay": 0.2, "slow_seconds": 2.5},
)
SHORT = replace(
    LONG,
    orders=60,
    burst=3,
    seconds=0,
    faults=["kill_service", "kill_workers", "kill_receiver", "drop_connections", "broker_down", "gateway_down"],
    of_each=1,
    cancel_share=0.1,
)


@pytest.fixture(params=[transport for transport in SERVERS if transport in TRANSPORTS])
def torture(request, tmp_path, settings, summarize):
    """Run four services as planned, and expect no violation."""

    def run(plan: Plan) -> None:
        summarize(f"torture of four services over {request.param}, TORTURE_SEED={SEED} TORTURE_ORDERS={plan.orders}")
        broker = tmp_path / "broker"
        broker.mkdir()
        with (
            service_databases(tmp_path) as databases,
            running_services(plan, tmp_path, SERVERS[request.param](broker), databases) as shop,
        ):
            settings.PAYMENTS = replace(settings.PAYMENTS, **shop.payment_settings())
            torture = SplitTorture(shop, plan)
            torture.inject_faults()
            torture.finish()
            report, missing = report_on(torture), torture.missing_faults()
        report.show(summarize)
        assert {kind: number for kind, number in report.violations.items() if number} == {}
        assert missing == [], "this run is void: these faults never happened"

    return run


@pytest.mark.split
def test_services_lose_and_duplicate_nothing(torture):
    torture(SHORT)


@pytest.mark.torture
def test_services_lose_and_duplicate_nothing_whatever_is_killed(torture):
    torture(LONG)
