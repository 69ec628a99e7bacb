"""A subscriber that records when it was called, to time the way from a commit to its handler."""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from messaging.contracts import Event
from messaging.subscribers import subscriber

FOLDER = Path(os.environ["BENCH_FOLDER"])
ARRIVALS = FOLDER / "arrivals"


class Ping(Event, frozen=True):
    type: ClassVar[str] = "bench.ping"
    keyed_by: ClassVar[str] = "number"

    number: int


@subscriber(Ping)
def record_arrival(events: Sequence[Ping]) -> None:
    now = time.time()
    with ARRIVALS.open("a") as arrivals:
        arrivals.writelines(f"{event.number} {now}\n" for event in events)
