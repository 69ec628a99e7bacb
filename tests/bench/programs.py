"""The programs under measurement, each with its log in a folder."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from shop.settings.groups import SIMULATED_GATEWAY
from tests.processes import manage, run
from tests.programs import LOCALHOST, WEBHOOK_PATH, Cluster, PaymentSimulator, Up, WebServer, free_port

from .work import wait_until_delivered

WEB_PROCESSES = 2
CALLBACK_SECONDS = 0.1
"""From a charge until the gateway decides it and sends its webhook."""


def web_server(folder: Path) -> WebServer:
    """Return a web server of two processes, whose payments are made at once."""
    return WebServer(folder / "web.log", environment={"WEB_CONCURRENCY": str(WEB_PROCESSES)})


def cluster(folder: Path, workers: int, **environment: str) -> Cluster:
    return Cluster(folder / "cluster.log", workers=workers, environment=environment)


@dataclass(frozen=True)
class RunningShop:
    port: int
    ledger: Path
    """The payment simulator's."""
    simulator: PaymentSimulator
    roots: Mapping[str, int]
    """The first process of each part."""
    wait_until_delivered: Callable[[], None] = wait_until_delivered


@contextmanager
def whole_shop(
    folder: Path,
    *,
    latency: float,
    workers: int = 2,
    web_processes: int = WEB_PROCESSES,
    environment: Mapping[str, str] | None = None,
) -> Iterator[RunningShop]:
    """
    Run `manage.py up` beside a payment simulator that takes so many seconds for every answer, and sends webhooks.

    Its payments have been reconciled, as the cluster does every hour: the shop trusts webhooks of reconciled gateways.

    :param folder: has the simulator's ledger, which later shops with the same database continue.
    :param environment: variables beside those of this process.
    """
    port, common = free_port(), dict(environment or {})
    ledger, logs = folder / "ledger.sqlite3", folder / f"shop-{port}"
    logs.mkdir()
    simulator = PaymentSimulator(
        logs / "simulator.log",
        environment=common,
        ledger=ledger,
        callback_url=f"http://{LOCALHOST}:{port}{WEBHOOK_PATH}",
        latency=latency,
        delay=CALLBACK_SECONDS,
    )
    up = Up(
        logs / "up.log",
        *(f"--port={port}", f"--workers={workers}", "--without-simulator"),
        environment=common
        | {
            "DEBUG": "0",
            "WEB_CONCURRENCY": str(web_processes),
            "PAYMENT_GATEWAY": SIMULATED_GATEWAY,
            "PAYMENT_SIMULATOR_URL": simulator.address,
        },
    )
    with simulator, up:
        up.wait_until_open()
        reconciled = run(manage("reconcile_payments"), **up.environment)
        assert reconciled.status == 0, reconciled.errors
        roots = {"web": up.wait_for_child("gunicorn").pid, "workers": up.wait_for_child("qcluster").pid}
        yield RunningShop(port, ledger, simulator, roots | {"simulator": simulator.pid})
