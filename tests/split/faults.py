"""Faults of services, of their databases, and of what is between them."""

import random
import signal
import threading
import time
from collections.abc import Callable, Sequence

from tests.concurrency.customers import Customer
from tests.concurrency.fault_injector import Fault
from tests.concurrency.faults import OUTAGE_SECONDS, ClusterFaults
from tests.processes import Process, children_of, freeze, kill, thaw
from tests.split.databases import drop_connections
from tests.split.services import Service, Services
from tests.waiting import eventually

FREEZE_SECONDS = 5


class SplitFaults:
    """
    :param burst: how many orders are placed while the broker or the gateway is down.
    """

    def __init__(self, shop: Services, customer: Customer, rng: random.Random, *, burst: int) -> None:
        self.shop, self.customer, self.rng, self.burst = shop, customer, rng, burst
        self.clusters = {context: ClusterFaults(service.cluster, rng) for context, service in shop.by_context.items()}
        self._thaws: list[threading.Timer] = []

    def of_services(self) -> dict[str, Sequence[Fault]]:
        """Return each fault of a service, for each of them, by its name."""
        services = self.shop.by_context.values()
        return {fault.__name__: [_of(service, fault) for service in services] for fault in self._of_a_service()}

    def of_all(self) -> Sequence[Fault]:
        """Return the faults of what all services use."""
        return [
            self.stop_broker,
            self.kill_broker,
            self.broker_down,
            self.kill_simulator,
            self.gateway_down,
            self.freeze_simulator,
            self.kill_proxy,
        ]

    def are_over(self) -> bool:
        """Return whether all services are complete again."""
        for thaw_timer in self._thaws:
            thaw_timer.join()
        return all(faults.are_over() for faults in self.clusters.values()) and self.shop.is_complete()

    def _of_a_service(self) -> Sequence[Callable[[Service], float]]:
        return [
            self.kill_web_workers,
            self.freeze_web_worker,
            self.kill_workers,
            self.freeze_worker,
            self.kill_cluster,
            self.kill_receiver,
            self.freeze_receiver,
            self.kill_service,
            self.restart_service,
            self.drop_connections,
        ]

    def kill_web_workers(self, service: Service) -> float:
        return kill(*_workers_of(service))

    def freeze_web_worker(self, service: Service) -> float:
        return self._freeze(self.rng.choice(_workers_of(service)))

    def kill_workers(self, service: Service) -> float:
        return self.clusters[service.context].kill_all_workers()

    def freeze_worker(self, service: Service) -> float:
        return self.clusters[service.context].freeze_worker()

    def kill_cluster(self, service: Service) -> float:
        return self.clusters[service.context].kill_master()

    def kill_receiver(self, service: Service) -> float:
        return _kill_and_start(service.receiver)

    def freeze_receiver(self, service: Service) -> float:
        return self._freeze(service.receiver.pid)

    def kill_service(self, service: Service) -> float:
        return _kill_and_start(*service.programs)

    def restart_service(self, service: Service) -> float:
        """Stop all programs of a service in order, as an upgrade does, and start them."""
        began = time.monotonic()
        for program in service.programs:
            program.send(signal.SIGTERM)
        for program in service.programs:
            program.wait()
            program.launch()
        return began

    def drop_connections(self, service: Service) -> float:
        return drop_connections(service.context)

    def stop_broker(self) -> float:
        self.shop.broker.stop()
        self.shop.broker.start()
        return time.monotonic()

    def kill_broker(self) -> float:
        self.shop.broker.kill()
        self.shop.broker.start()
        return time.monotonic()

    def broker_down(self) -> float:
        """Stop the broker for some seconds. Orders are accepted all the same."""
        self.shop.broker.kill()
        self._order_in_outage()
        self.shop.broker.start()
        return time.monotonic()

    def kill_simulator(self) -> float:
        return _kill_and_start(self.shop.simulator)

    def gateway_down(self) -> float:
        self.shop.simulator.kill()
        self._order_in_outage()
        self.shop.simulator.start()
        return time.monotonic()

    def freeze_simulator(self) -> float:
        """Let the gateway accept requests and answer none, for longer than services wait for it."""
        return self._freeze(self.shop.simulator.pid)

    def kill_proxy(self) -> float:
        return _kill_and_start(self.shop.proxy)

    def _order_in_outage(self) -> None:
        end = time.monotonic() + OUTAGE_SECONDS
        self.customer.order(self.burst)
        self.customer.order_until(end)

    def _freeze(self, pid: int) -> float:
        freeze(pid)
        self._thaws.append(threading.Timer(FREEZE_SECONDS, thaw, [pid]))
        self._thaws[-1].start()
        return time.monotonic()


def _of(service: Service, fault: Callable[[Service], float]) -> Fault:
    def inject() -> float:
        return fault(service)

    inject.__name__ = f"{fault.__name__} of {service.context}"
    return inject


def _workers_of(service: Service) -> list[int]:
    """Return the processes that serve the requests."""
    eventually(lambda: children_of(service.web.pid))
    return [entry.pid for entry in children_of(service.web.pid)]


def _kill_and_start(*programs: Process) -> float:
    killed_at = time.monotonic()
    for program in programs:
        program.kill()
    for program in programs:
        program.launch()
    return killed_at
