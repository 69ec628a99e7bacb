"""
A saboteur of the processes that serve the customers, who measures how long it then takes to serve them again.
"""

import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence

from tests.concurrency.accounts import is_quiet
from tests.concurrency.environment import STOP_SECONDS
from tests.concurrency.people import Customer
from tests.processes import freeze, kill, thaw
from tests.programs import Cluster
from tests.waiting import PATIENCE_SECONDS, eventually

BURST = 40
PROBES = 8
"""Orders at once, of which hardly all meet a gateway's fault."""
RESTLESS_SECONDS = 0.5
"""Within this time after a burst of orders the harm is done, at any moment of what they set in motion."""

Harm = Callable[[], float]
"""Does one kind of harm, and returns the moment from which on the shop may recover."""


class Saboteur:
    """
    Do the shop harm under load, each time another way.
    """

    def __init__(self, customer: Customer, is_whole: Callable[[], bool], *, burst: int = BURST) -> None:
        self.customer, self.is_whole, self.burst = customer, is_whole, burst
        self.recoveries: dict[str, list[float]] = defaultdict(list)

    def strike(self, harm: Harm) -> None:
        """
        Do this harm while orders come in, and go on ordering until one placed after it is served.
        """
        self.customer.order(self.burst)
        self.customer.order_until(time.monotonic() + self.customer.dice.uniform(0, RESTLESS_SECONDS))
        struck_at = harm()
        after = self.customer.order(PROBES)
        while not self.customer.is_served(after):
            assert time.monotonic() - struck_at < PATIENCE_SECONDS, f"nobody is served after {harm.__name__}"
            after += self.customer.order_until(time.monotonic())
        self.recoveries[harm.__name__].append(time.monotonic() - struck_at)
        eventually(self.is_whole)


class Vandal:
    """
    Whoever does harm to the cluster of workers.
    """

    def __init__(self, cluster: Cluster, dice: random.Random) -> None:
        self.cluster, self.dice = cluster, dice
        self._thaws: list[threading.Timer] = []

    def harms(self) -> Sequence[Harm]:
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

    def is_over(self) -> bool:
        """
        Tell whether the cluster is whole again.
        """
        for coming in self._thaws:
            coming.join()
        return self.cluster.is_ready()

    def kill_busy_worker(self) -> float:
        return kill(self.dice.choice(self.cluster.pids("worker")))

    def kill_idle_worker(self) -> float:
        eventually(is_quiet)
        return kill(self.dice.choice(self.cluster.pids("worker")))

    def kill_all_workers(self) -> float:
        """
        One of them holds the lock of django-q2's queue, which nobody ever gets again: its SIGTERM does not end it now.
        """
        return kill(*self.cluster.pids("worker"))

    def kill_pusher(self) -> float:
        return kill(*self.cluster.pids("pusher"))

    def kill_monitor(self) -> float:
        return kill(*self.cluster.pids("monitor"))

    def kill_sentinel(self) -> float:
        """
        An orphan may finish the batch in hand, and looks for its parent only now and then.
        """
        struck_at = kill(*self.cluster.pids("sentinel"))
        eventually(lambda: not self.cluster.pids("worker"), within=self._seconds("MESSAGING_HANDLER_LIMIT_SECONDS") + 2)
        self.cluster.restart()
        return struck_at

    def kill_master(self) -> float:
        struck_at = kill(self.cluster.pid)
        self.cluster.restart()
        return struck_at

    def freeze_worker(self) -> float:
        """
        Stop a worker for longer than its lease. On SQLite it may stop in mid-transaction, and then nobody can write.
        """
        pid = self.dice.choice(self.cluster.pids("worker"))
        freeze(pid)
        self._thaws.append(threading.Timer(self._seconds("MESSAGING_LEASE_SECONDS") + 1, thaw, [pid]))
        self._thaws[-1].start()
        return time.monotonic()

    def terminate(self) -> float:
        struck_at = time.monotonic()
        self.cluster.stop(within=STOP_SECONDS)
        self.cluster.start()
        return struck_at

    def _seconds(self, variable: str) -> int:
        return int(self.cluster.environment[variable])
