"""
Connections to the providers, of which each process has a number of its own for each channel. A call that was abandoned
keeps its connection until it ends: calls that never end occupy as many threads as there are connections, and no more.
"""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cache
from threading import BoundedSemaphore
from typing import Any, Protocol, Self

from .models import Notification
from .outcomes import Outcome


class Connection(Protocol):
    """
    A connection to a provider. One thread uses it at a time; another may cut it off.
    """

    is_down: bool
    """Whether it can send nothing for now."""

    @property
    def may_have_sent(self) -> bool: ...
    def send(self, notification: Notification) -> Outcome: ...
    def cut_off(self) -> None: ...
    def close(self) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Route:
    """
    How the notifications of a channel are sent.
    """

    noun: str
    connect: Callable[[], Connection]
    connections: int
    """Of a process."""
    deadline_seconds: float
    """Of one notification."""


class Connections:
    """
    The connections of a batch: as many as are free in this process, up to `wanted`. It waits for the first.

    :param within: seconds.
    """

    def __init__(self, route: Route, wanted: int, *, within: float) -> None:
        self._free = _free_connections(route.noun, route.connections)
        self.number = int(self._free.acquire(timeout=max(0, within)))
        while self.number and self.number < wanted and self._free.acquire(blocking=False):
            self.number += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for _connection in range(self.number):
            self._free.release()

    def keep(self, call: Future[Any]) -> None:
        """
        Keep a connection beyond the end of the batch, until this call has ended.
        """
        self.number -= 1
        call.add_done_callback(lambda _: self._free.release())


@cache
def _free_connections(noun: str, number: int) -> BoundedSemaphore:
    return BoundedSemaphore(number)
