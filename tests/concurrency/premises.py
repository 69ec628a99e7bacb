"""
A shop of real processes, workers, web server and payment simulator, and how badly it is to be treated.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from payments.simulator.behaviours import CHAOS
from shop.settings.groups import SIMULATED_GATEWAY
from tests.concurrency.environment import ENVIRONMENT, WORKERS
from tests.concurrency.ledger import Ledger
from tests.programs import Cluster, PaymentSimulator, WebServer
from tests.waiting import eventually

SEED = int(os.environ.get("TORTURE_SEED", "1"))
SECRET = "whsec_" + "dG9ydHVyZSBpcyBub3Qgc2VjcmV0LCBidXQgc2lnbmVk"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """
    How many orders, how much harm, and how short the times are.
    """

    orders: int
    burst: int
    """How many of them come at once, before each harm."""
    rounds: int
    """How often each harm is done, at least."""
    seconds: float
    """How long harm may be done; each is done once in any case."""
    harms: Sequence[str] = ()
    """Which harm to do; all of it, if none is named."""
    rate: float
    """The share of payments that each fault of the gateway spoils."""
    of_each: int = 0
    """How many orders ask for each fault by its token, for too few are drawn in a short time."""
    regrets: float = 0.03
    """The share of orders that their customers cancel."""
    takes_back: float
    """The share of confirmed orders that the operator refunds."""
    environment: Mapping[str, str]
    conduct: Mapping[str, object]
    """How the gateway behaves apart from its faults."""


@dataclass(frozen=True)
class Shop:
    cluster: Cluster
    web: WebServer
    simulator: PaymentSimulator
    ledger: Ledger

    def is_whole(self) -> bool:
        return self.cluster.is_ready() and self.web.is_ready() and self.simulator.is_ready()

    def payments(self) -> dict[str, object]:
        """
        Write down the settings by which this process finds the same gateway.
        """
        address = self.simulator.address
        return {"gateway": SIMULATED_GATEWAY, "simulator_url": address, "webhook_secrets": (SECRET,)}

    def logs(self) -> str:
        return self.cluster.output + self.web.output + self.simulator.output


@contextmanager
def open_shop(plan: Plan, folder: Path, database_url: str) -> Iterator[Shop]:
    """
    Run the processes for the time of the block.
    """
    ledger, chaos = folder / "ledger.sqlite3", ",".join(f"{name}={plan.rate}" for name in CHAOS)
    web = WebServer(folder / "web.log")
    conduct = {"ledger": ledger, "callback_url": web.webhook_url, "seed": SEED, "chaos": chaos, **plan.conduct}
    simulator = PaymentSimulator(folder / "simulator.log", **conduct)
    web.environment = simulator.environment = ENVIRONMENT | {
        "DATABASE_URL": database_url,
        "PAYMENT_GATEWAY": SIMULATED_GATEWAY,
        "PAYMENT_SIMULATOR_URL": simulator.address,
        "PAYMENT_SIMULATOR_IN_WEB": "off",
        "PAYMENT_WEBHOOK_SECRETS": SECRET,
        **plan.environment,
    }
    with web, simulator, Cluster(folder / "cluster.log", workers=WORKERS, environment=web.environment) as cluster:
        shop = Shop(cluster, web, simulator, Ledger(ledger))
        eventually(shop.is_whole)
        yield shop
