"""Injects faults under load, and measures how long it takes until customers are served again."""

import time
from collections import defaultdict
from collections.abc import Callable

from tests.concurrency.customers import Customer
from tests.waiting import PATIENCE_SECONDS, eventually

BURST = 40
PROBES = 8
"""How many orders probe the shop after a fault; the gateway's own faults hardly hit all of them."""
DELAY_SECONDS = 0.5
"""The fault is injected within this time after a burst of orders, at any moment of their processing."""

Fault = Callable[[], float]
"""Injects one fault, and returns the moment from which on the shop may recover."""


class FaultInjector:
    """
    :param patience: how many seconds it may take until customers are served again, and until the shop is complete.
    """

    def __init__(
        self,
        customer: Customer,
        is_complete: Callable[[], bool],
        *,
        burst: int = BURST,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self.customer, self.is_complete, self.burst, self.patience = customer, is_complete, burst, patience
        self.recoveries: dict[str, list[float]] = defaultdict(list)
        """The seconds of each recovery, by the fault's name."""

    def inject(self, fault: Fault) -> None:
        """Inject the fault while orders are placed, and go on placing orders until one of them is served."""
        self.customer.order(self.burst)
        self.customer.order_until(time.monotonic() + self.customer.rng.uniform(0, DELAY_SECONDS))
        injected_at = fault()
        probes = self.customer.order(PROBES)
        while not self.customer.is_served(probes):
            assert time.monotonic() - injected_at < self.patience, f"no order is served after {fault.__name__}"
            probes += self.customer.order_until(time.monotonic())
        self.recoveries[fault.__name__].append(time.monotonic() - injected_at)
        eventually(self.is_complete, within=self.patience)
