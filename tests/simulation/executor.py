"""
An executor without threads, so that a simulation is deterministic.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Self, TypeVar

T = TypeVar("T")


class SequentialExecutor:
    def __init__(self, threads: int) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def submit(self, call: Callable[..., T], *arguments: object) -> Future[T]:
        future: Future[T] = Future()
        try:
            future.set_result(call(*arguments))
        except BaseException as error:  # noqa: BLE001  (a thread stores a crash for its caller, too)
            future.set_exception(error)
        return future

    def map(self, call: Callable[..., T], *arguments: Iterable[object]) -> list[T]:
        return [self.submit(call, *each).result() for each in zip(*arguments, strict=True)]

    def shutdown(self, **_: object) -> None: ...
