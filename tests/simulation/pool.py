"""
Threads, where their turns must not be left to chance.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Self, TypeVar

T = TypeVar("T")


class OneByOne:
    """
    A pool of threads that does without them, so that a story is told the same each time.
    """

    def __init__(self, threads: int) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def submit(self, call: Callable[..., T], *arguments: object) -> Future[T]:
        made: Future[T] = Future()
        try:
            made.set_result(call(*arguments))
        except BaseException as error:  # noqa: BLE001  (a thread keeps a crash for whoever asks, too)
            made.set_exception(error)
        return made

    def map(self, call: Callable[..., T], *arguments: Iterable[object]) -> list[T]:
        return [self.submit(call, *each).result() for each in zip(*arguments, strict=True)]

    def shutdown(self, **_: object) -> None: ...
