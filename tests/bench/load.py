"""
A load generator: places orders over HTTP as fast as they are accepted (closed loop), or at a fixed rate (open loop).

It runs in a process of its own, reads a `LoadPlan` from its input, renders and signs every request before the clock
starts, and writes a `Load` to its output. In an open loop latency counts from when a request was due, not from when
a connection was free, so that it includes waiting for a stalled server (no coordinated omission).
"""

import json
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import median, quantiles
from typing import NamedTuple

from .http_requests import Caller, orders

ACCEPTED = 201
LEAD_SECONDS = 0.2
"""Time to open the connections."""


@dataclass(frozen=True, kw_only=True)
class LoadPlan:
    """:param per_second: the rate of an open loop; 0 for a closed loop."""

    port: int
    callers: Sequence[Caller]
    skus: Sequence[str]
    price: int
    orders: int
    connections: int
    per_second: float = 0
    payment_method: str = "tok_visa"


class ScheduledRequest(NamedTuple):
    due: float
    """A moment of `time.perf_counter`; in the past for at once."""
    request: bytes


class Load(NamedTuple):
    began: float
    """When the first request was due, as `time.time`."""
    figures: Mapping[str, float]


class Answer(NamedTuple):
    status: int
    seconds: float


def main() -> None:
    plan = json.load(sys.stdin)
    callers = [Caller(*caller) for caller in plan["callers"]]
    json.dump(generate_load(LoadPlan(**plan | {"callers": callers})), sys.stdout)


def generate_load(plan: LoadPlan) -> Load:
    """Place the orders of a plan. The figures are the accepted orders per second, and the latency in ms."""
    requests = list(orders(plan.orders, plan.callers, plan.skus, plan.price, plan.payment_method))
    cpu, began = time.process_time(), time.perf_counter() + LEAD_SECONDS
    every = 1 / plan.per_second if plan.per_second else 0
    schedule = [ScheduledRequest(began + at * every, request) for at, request in enumerate(requests)]
    answers = _send_all(schedule, plan)
    seconds = time.perf_counter() - began
    accepted = Counter(answer.status for answer in answers)[ACCEPTED]
    figures = {
        "orders/s": accepted / seconds,
        **percentiles([answer.seconds * 1000 for answer in answers]),
        "not accepted": len(answers) - accepted,
        "load generator, % of a core": 100 * (time.process_time() - cpu) / seconds,
    }
    return Load(time.time() - (time.perf_counter() - began), figures)


def percentiles(values: Sequence[float]) -> dict[str, float]:
    return {"p50 ms": median(values), "p99 ms": quantiles(values, n=100)[98]}


def _send_all(schedule: Sequence[ScheduledRequest], plan: LoadPlan) -> list[Answer]:
    waiting = iter(schedule)  # shared: each connection takes the next request
    with ThreadPoolExecutor(plan.connections) as pool:
        connections = [pool.submit(_send_over_one_connection, plan, waiting) for _ in range(plan.connections)]
        return [answer for connection in connections for answer in connection.result()]


def _send_over_one_connection(plan: LoadPlan, waiting: Iterator[ScheduledRequest]) -> list[Answer]:
    answers = []
    with socket.create_connection(("127.0.0.1", plan.port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for scheduled in waiting:
            time.sleep(max(0, scheduled.due - time.perf_counter()))
            began = scheduled.due if plan.per_second else time.perf_counter()
            connection.sendall(scheduled.request)
            status = _read_status(connection)
            answers.append(Answer(status, time.perf_counter() - began))
    return answers


def _read_status(connection: socket.socket) -> int:
    """Read a response to its end, and return its status."""
    head, _, body = _receive(connection).partition(b"\r\n\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    missing = int(fields[b"content-length"]) - len(body)
    while missing > 0:
        missing -= len(_receive(connection))
    return int(head.split(None, 2)[1])


def _receive(connection: socket.socket) -> bytes:
    received = connection.recv(65_536)
    if not received:
        raise ConnectionError("The server closed the connection without a response.")
    return received


if __name__ == "__main__":
    main()
