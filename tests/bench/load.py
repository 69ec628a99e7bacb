"""
A load generator: places orders over HTTP as fast as they are taken, or at times that were fixed beforehand.

It runs in a process of its own, reads a `Plan` from its input, renders and signs every request before the clock starts,
and writes to its output what became of them. Where times are fixed, an answer's latency counts from when its request
was due, not from when a connection was free for it: who comes while the shop is stuck waits, too.
"""

import json
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import quantiles
from typing import NamedTuple

from .wire import Caller, orders

TAKEN = 201
LEAD_SECONDS = 0.2
"""For the connections to be made."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """
    What to place, and how.

    :param per_second: how many fall due a second, whatever became of those before; 0 for as fast as they are taken.
    """

    port: int
    callers: Sequence[Caller]
    skus: Sequence[str]
    price: int
    orders: int
    connections: int
    per_second: float = 0


class Shot(NamedTuple):
    due: float
    """By the clock; 0 for now."""
    request: bytes


class Answer(NamedTuple):
    status: int
    seconds: float


def main() -> None:
    told = json.load(sys.stdin)
    plan = Plan(**told | {"callers": [Caller(*caller) for caller in told["callers"]]})
    json.dump(carry_out(plan), sys.stdout)


def carry_out(plan: Plan) -> Mapping[str, float]:
    """
    Place the orders of a plan; tell how many a second were taken, and how long the answers took.
    """
    requests = list(orders(plan.orders, plan.callers, plan.skus, plan.price))
    cpu, began = time.process_time(), time.perf_counter() + LEAD_SECONDS
    every = 1 / plan.per_second if plan.per_second else 0
    answers = _fire([Shot(began + at * every, request) for at, request in enumerate(requests)], plan)
    seconds = time.perf_counter() - began
    taken = Counter(answer.status for answer in answers)[TAKEN]
    percentiles = quantiles([answer.seconds * 1000 for answer in answers], n=100)
    return {
        "orders/s": taken / seconds,
        "p50 ms": percentiles[49],
        "p99 ms": percentiles[98],
        "not taken": len(answers) - taken,
        "load generator, % of a core": 100 * (time.process_time() - cpu) / seconds,
    }


def _fire(shots: Sequence[Shot], plan: Plan) -> list[Answer]:
    waiting = iter(shots)  # each connection takes the next one
    with ThreadPoolExecutor(plan.connections) as connections:
        conversations = [connections.submit(_converse, plan, waiting) for _ in range(plan.connections)]
        return [answer for conversation in conversations for answer in conversation.result()]


def _converse(plan: Plan, waiting: Iterator[Shot]) -> list[Answer]:
    answers = []
    with socket.create_connection(("127.0.0.1", plan.port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for shot in waiting:
            time.sleep(max(0, shot.due - time.perf_counter()))
            began = shot.due if plan.per_second else time.perf_counter()
            connection.sendall(shot.request)
            status = _read_status(connection)
            answers.append(Answer(status, time.perf_counter() - began))
    return answers


def _read_status(connection: socket.socket) -> int:
    """
    Read an answer to its end, for the next one to begin there.
    """
    head, _, body = _receive(connection).partition(b"\r\n\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    missing = int(fields[b"content-length"]) - len(body)
    while missing > 0:
        missing -= len(_receive(connection))
    return int(head.split(None, 2)[1])


def _receive(connection: socket.socket) -> bytes:
    received = connection.recv(65_536)
    if not received:
        raise ConnectionError("The shop closed the connection instead of answering.")
    return received


if __name__ == "__main__":
    main()
