"""A shop of real processes: workers and web server, beside a payment simulator and a mail server."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from payments.simulator.behaviours import CHAOS
from shop.settings.groups import SIMULATED_GATEWAY
from tests.concurrency.environment import ENVIRONMENT, MAIL_FAULTS, WORKERS
from tests.concurrency.ledger import SimulatorLedger
from tests.processes import database_url
from tests.programs import Cluster, MailServer, PaymentSimulator, WebServer
from tests.smtp_log import MailLog
from tests.waiting import eventually

SEED = int(os.environ.get("TORTURE_SEED", "1"))
SECRET = "whsec_" + "dG9ydHVyZSBpcyBub3Qgc2VjcmV0LCBidXQgc2lnbmVk"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How many orders are placed, which faults are injected, and which limits of time apply."""

    orders: int
    burst: int
    """How many orders are placed at once before each fault."""
    rounds: int
    """How often each fault is injected, at least."""
    seconds: float
    """For how long faults are injected; each is injected once in any case."""
    faults: Sequence[str] = ()
    """Which faults of processes to inject; all of them if empty."""
    rate: float
    """The share of payments that meets each fault of the gateway."""
    of_each: int = 0
    """How many orders request each fault of the gateway by its token, since a short run draws too few."""
    cancel_share: float = 0.03
    refund_share: float
    """The share of confirmed orders that the operator refunds."""
    environment: Mapping[str, str]
    simulator_options: Mapping[str, object]


@dataclass(frozen=True)
class RunningShop:
    cluster: Cluster
    web: WebServer
    simulator: PaymentSimulator
    ledger: SimulatorLedger
    mails: MailLog

    def is_complete(self) -> bool:
        return self.cluster.is_ready() and self.web.is_ready() and self.simulator.is_ready()

    def payment_settings(self) -> dict[str, object]:
        """Return the settings with which this process uses the same gateway."""
        address = self.simulator.address
        return {"gateway": SIMULATED_GATEWAY, "simulator_url": address, "webhook_secrets": (SECRET,)}

    def logs(self) -> str:
        return self.cluster.output + self.web.output + self.simulator.output


@contextmanager
def running_shop(plan: Plan, folder: Path) -> Iterator[RunningShop]:
    """Run the processes on the test database during the block."""
    ledger, chaos = folder / "ledger.sqlite3", ",".join(f"{name}={plan.rate}" for name in CHAOS)
    web = WebServer(folder / "web.log")
    options = {"ledger": ledger, "callback_url": web.webhook_url, "seed": SEED, "chaos": chaos}
    simulator = PaymentSimulator(folder / "simulator.log", **options, **plan.simulator_options)
    mail_server = MailServer(folder / "mail_server.log", folder / "mails.log", faults=MAIL_FAULTS, seed=SEED)
    web.environment = simulator.environment = ENVIRONMENT | {
        "DATABASE_URL": database_url(),
        "PAYMENT_GATEWAY": SIMULATED_GATEWAY,
        "PAYMENT_SIMULATOR_URL": simulator.address,
        "PAYMENT_SIMULATOR_IN_WEB": "off",
        "PAYMENT_WEBHOOK_SECRETS": SECRET,
        **mail_server.settings,
        **plan.environment,
    }
    cluster = Cluster(folder / "cluster.log", workers=WORKERS, environment=web.environment)
    with web, simulator, mail_server, cluster:
        shop = RunningShop(cluster, web, simulator, SimulatorLedger(ledger), mail_server.mails)
        eventually(shop.is_complete)
        yield shop
