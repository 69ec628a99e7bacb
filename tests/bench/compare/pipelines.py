"""The pipelines under comparison: a web server and a payment simulator that are the same, and workers that differ."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from django.utils import timezone
from redis import Redis

from messaging.claims import lease, subscribers_with_work
from shop.settings.groups import SIMULATED_GATEWAY
from tests.bench.programs import CALLBACK_SECONDS, WEB_PROCESSES, RunningShop
from tests.bench.work import PATIENCE_SECONDS
from tests.messaging.transports.servers import RedisServer
from tests.processes import Process, children_of, manage, run
from tests.programs import Cluster, PaymentSimulator, WebServer
from tests.waiting import eventually

from .names import LIBRARIES, OVER_CELERY, SHOP, WORKERS

CELERY_COMMAND = [
    *(sys.executable, "-m", "celery", "--app", "tests.bench.compare.celery_app", "worker", "--loglevel", "ERROR"),
    *("--pool", "prefork", "--concurrency", str(WORKERS)),
    # One Celery process follows no others.
    *("--without-gossip", "--without-mingle", "--without-heartbeat"),
]
ONE_BY_ONE_COMMAND = [sys.executable, "-m", "tests.bench.compare.one_by_one", str(WORKERS)]


class Workers(Process):
    """The workers of a pipeline, below one process and in its group."""

    def launch(self) -> None:
        self._earlier = len(self.output) if self.log.exists() else 0
        super().launch()

    def is_ready(self) -> bool:
        return "ready" in self.output[self._earlier :]

    def pids(self) -> list[int]:
        """Return the processes that handle messages. One that dies is replaced."""
        return [child.pid for child in children_of(self.pid)]


class ShopWorkers(Cluster):
    def pids(self, role: str = "worker") -> list[int]:
        return super().pids(role)


@dataclass(frozen=True)
class Running:
    shop: RunningShop
    workers: Workers | ShopWorkers
    is_idle: Callable[[], bool]
    """Whether nothing is queued that is due within a minute."""


@contextmanager
def running(pipeline: str, folder: Path, **variables: str) -> Iterator[Running]:
    """
    Run a pipeline over the database of this process.

    :param folder: an empty folder for its logs and the data of its servers.
    :param variables: variables of web server and workers.
    """
    with _broker(folder) if pipeline in OVER_CELERY else nullcontext() as broker:
        web = WebServer(folder / "web.log", environment={"WEB_CONCURRENCY": str(WEB_PROCESSES)})
        simulator = PaymentSimulator(
            folder / "simulator.log",
            ledger=folder / "ledger.sqlite3",
            callback_url=web.webhook_url,
            delay=CALLBACK_SECONDS,
        )
        variables |= {"PAYMENT_GATEWAY": SIMULATED_GATEWAY, "PAYMENT_SIMULATOR_URL": simulator.address}
        variables |= _celery_variables(broker) | OVER_CELERY[pipeline] if broker else {}
        web.environment |= variables
        workers = _workers(pipeline, folder / "workers.log", variables)
        is_idle = partial(_queue_is_empty, broker) if broker else _everything_is_delivered
        with simulator, web, workers:
            _reconcile(variables)
            roots = {"web": web.pid, "workers": workers.pid, "simulator": simulator.pid}
            roots |= {"Redis": broker.pid} if broker else {}
            shop = RunningShop(
                web.port, folder / "ledger.sqlite3", simulator, roots, partial(_wait_until_idle, is_idle)
            )
            yield Running(shop, workers, is_idle)


def _workers(pipeline: str, log: Path, variables: Mapping[str, str]) -> Workers | ShopWorkers:
    if pipeline == SHOP:
        return ShopWorkers(log, workers=WORKERS, environment=variables)
    command = CELERY_COMMAND if pipeline in OVER_CELERY else ONE_BY_ONE_COMMAND
    return Workers(log, command, environment=variables)


def _broker(folder: Path) -> RedisServer:
    (folder / "redis").mkdir()
    return RedisServer(folder / "redis")


def _celery_variables(broker: RedisServer) -> dict[str, str]:
    return {
        "DJANGO_SETTINGS_MODULE": "tests.bench.compare.celery_settings",
        "PYTHONPATH": str(LIBRARIES),
        "CELERY_BROKER_URL": broker.url,
    }


def _reconcile(variables: Mapping[str, str]) -> None:
    """Reconcile payments, as each pipeline's hourly chores do: the shop trusts webhooks of reconciled gateways."""
    gateway = {name: variables[name] for name in ("PAYMENT_GATEWAY", "PAYMENT_SIMULATOR_URL")}
    reconciled = run(manage("reconcile_payments"), **gateway)
    assert reconciled.status == 0, reconciled.errors


def _wait_until_idle(is_idle: Callable[[], bool]) -> None:
    # Twice: a task is in neither list for a moment while Celery takes it.
    eventually(lambda: is_idle() and is_idle(), within=PATIENCE_SECONDS, every=0.1)


def _everything_is_delivered() -> bool:
    return not subscribers_with_work(timezone.now() + 2 * lease())


def _queue_is_empty(broker: RedisServer) -> bool:
    with Redis(port=broker.port) as redis:
        return not redis.llen("celery") and not redis.hlen("unacked")
