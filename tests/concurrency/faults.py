"""Faults of processes: of the cluster of workers, and of the payment gateway and the web server beside it."""

import random
import signal
import threading
import time
from collections.abc import Sequence

from django.utils import timezone

from messaging.claims import claims_of
from messaging.models import Delivery, Worker
from orders.models import Order
from payments.models import PaymentIntent
from tests.concurrency.consistency import all_delivered
from tests.concurrency.customers import Customer
from tests.concurrency.fault_injector import Fault
from tests.concurrency.running_shop import RunningShop
from tests.processes import freeze, kill, thaw
from tests.programs import Cluster
from tests.waiting import eventually

OUTAGE_SECONDS = 6


class ClusterFaults:
    def __init__(self, cluster: Cluster, rng: random.Random) -> None:
        self.cluster, self.rng = cluster, rng
        self.takeovers: list[float] = []
        """The seconds from each death of a worker with claims until they were due again."""
        self.thaws: list[float] = []
        """The moments, as `time.time`, at which frozen workers went on."""
        self._thaws: list[threading.Timer] = []

    def every_fault(self) -> Sequence[Fault]:
        return [
            self.kill_busy_worker,
            self.kill_idle_worker,
            self.kill_all_workers,
            self.kill_pusher,
            self.kill_monitor,
            self.kill_sentinel,
            self.kill_master,
            self.freeze_worker,
            self.terminate,
        ]

    def are_over(self) -> bool:
        """Return whether the cluster is complete again."""
        for thaw_timer in self._thaws:
            thaw_timer.join()
        return self.cluster.is_ready()

    def kill_busy_worker(self) -> float:
        pid = self.rng.choice(self.cluster.pids("worker"))
        number = Worker.objects.get(process=pid).number
        killed_at = kill(pid)
        if claims_of(number, timezone.now()).exists():
            eventually(lambda: not claims_of(number, timezone.now()).exists())
            self.takeovers.append(time.monotonic() - killed_at)
        return killed_at

    def kill_idle_worker(self) -> float:
        eventually(all_delivered)
        return kill(self.rng.choice(self.cluster.pids("worker")))

    def kill_all_workers(self) -> float:
        """Kill the holder of the lock of django-q2's queue, too: no chore runs any more."""
        return kill(*self.cluster.pids("worker"))

    def kill_pusher(self) -> float:
        return kill(*self.cluster.pids("pusher"))

    def kill_monitor(self) -> float:
        return kill(*self.cluster.pids("monitor"))

    def kill_sentinel(self) -> float:
        killed_at = kill(*self.cluster.pids("sentinel"))
        self._restart_after_end(status=1)
        return killed_at

    def kill_master(self) -> float:
        killed_at = kill(self.cluster.pid)
        self._restart_after_end(status=-signal.SIGKILL)
        return killed_at

    def freeze_worker(self) -> float:
        """Freeze a worker for longer than its lease. On SQLite it may hold the write lock meanwhile."""
        pid = self.rng.choice(self.cluster.pids("worker"))
        freeze(pid)
        self._thaws.append(threading.Timer(self._seconds("MESSAGING_LEASE_SECONDS") + 1, self._thaw, [pid]))
        self._thaws[-1].start()
        return time.monotonic()

    def terminate(self) -> float:
        terminated_at = time.monotonic()
        self.cluster.send(signal.SIGTERM)
        self._restart_after_end(status=0)
        return terminated_at

    def _thaw(self, pid: int) -> None:
        self.thaws.append(time.time())
        thaw(pid)

    def _restart_after_end(self, *, status: int) -> None:
        """Wait until the cluster has ended by itself, and start it as a supervisor does."""
        within = self._seconds("MESSAGING_HANDLER_LIMIT_SECONDS") + 2
        assert self.cluster.wait(within) == status
        eventually(lambda: not self.cluster.members(), within=within)
        self.cluster.start()

    def _seconds(self, variable: str) -> int:
        return int(self.cluster.environment[variable])


class ServerFaults:
    """Faults of the payment gateway, and of the web server that it calls back, while orders are placed."""

    def __init__(self, shop: RunningShop, customer: Customer, *, burst: int) -> None:
        self.simulator, self.web, self.ledger = shop.simulator, shop.web, shop.ledger
        self.customer, self.burst = customer, burst
        self.placed_in_outages: list[str] = []

    def every_fault(self) -> Sequence[Fault]:
        return [self.kill_simulator, self.gateway_down, self.hang_simulator, self.kill_web_server]

    def kill_simulator(self) -> float:
        killed_at = time.monotonic()
        self.simulator.kill()
        self.simulator.start()
        return killed_at

    def gateway_down(self) -> float:
        """Stop the gateway for some seconds. Stock is reserved all the same."""
        end = time.monotonic() + OUTAGE_SECONDS
        self.simulator.kill()
        placed = self.customer.order(self.burst)
        eventually(lambda: not Order.objects.filter(pk__in=placed, status=Order.Status.PLACED).exists())
        self.placed_in_outages += placed + self.customer.order_until(end)
        self.simulator.start()
        return time.monotonic()

    def hang_simulator(self) -> float:
        """Let the gateway accept requests and answer none, until the outcome of some payments is unknown."""
        freeze(self.simulator.pid)
        placed = self.customer.order(self.burst)
        unknown = PaymentIntent.objects.filter(order_id__in=placed, status=PaymentIntent.Status.UNKNOWN)
        eventually(unknown.exists)
        thaw(self.simulator.pid)
        return time.monotonic()

    def kill_web_server(self) -> float:
        """Stop the web server until about half of the callbacks for a burst of orders have failed."""
        enough = self.ledger.failed_callbacks() + self.burst // 2
        self.web.kill()
        self.customer.order(self.burst)
        eventually(lambda: self.ledger.failed_callbacks() >= enough)
        self.web.start()
        return time.monotonic()

    def attempts_used_by_outages(self) -> int:
        """Return how many payments an outage of the gateway alone has cost an attempt."""
        repeated = Delivery.objects.filter(subscriber="payments.take_payment", suspect=False, attempts__gt=1)
        return repeated.filter(key__in=self.placed_in_outages).count()
