"""The programs under measurement, on the benchmark's database, each with its log in the benchmark's folder."""

import os
from pathlib import Path

from shop.settings.groups import SIMULATED_GATEWAY
from tests.programs import Cluster, PaymentSimulator, WebServer

FOLDER = Path(os.environ["BENCH_FOLDER"])
WEB_PROCESSES = 2
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


def web_server(**environment: str) -> WebServer:
    """Return a web server of two processes."""
    return WebServer(FOLDER / "web.log", environment={"WEB_CONCURRENCY": str(WEB_PROCESSES)} | environment)


def cluster(workers: int, **environment: str) -> Cluster:
    return Cluster(FOLDER / "cluster.log", workers=workers, environment=environment)


def slow_gateway(web: WebServer) -> PaymentSimulator:
    """
    Return a payment simulator that takes 300 ms for every answer and calls this web server back. From then on the web
    server uses the simulator for its payments, too.
    """
    simulator = PaymentSimulator(
        FOLDER / "simulator.log",
        ledger=FOLDER / "ledger.sqlite3",
        callback_url=web.webhook_url,
        latency=0.3,
        delay=0.1,
    )
    simulator.environment = {"PAYMENT_GATEWAY": SIMULATED_GATEWAY, "PAYMENT_SIMULATOR_URL": simulator.address}
    web.environment |= simulator.environment
    return simulator


def cpu_seconds(pid: int) -> float:
    """Return how much processor time a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS
