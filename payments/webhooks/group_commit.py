"""
Group commit: what several threads of a process store at the same moment is committed in one transaction.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from threading import Condition
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class _GroupFailed(Exception):
    """
    A group was not committed, so each of its values has to be committed alone.
    """


class GroupCommit(Generic[T, R]):
    """
    Call it with a value to commit that. Values that arrive while a group is being committed form the next group, which
    one of their threads commits for all; a value that arrives alone is committed at once.
    """

    def __init__(self, commit: Callable[[Sequence[T]], Sequence[R]]) -> None:
        """
        :param commit: commits these values in one transaction, and returns the result for each.
        """
        self._commit = commit
        self._changed = Condition()
        self._is_committing = False
        self._waiting: list[tuple[T, Future[R]]] = []

    def __call__(self, value: T) -> R:
        """
        Return the result for this value after the commit of its group. If a group fails, its threads commit their
        values alone, so that only those that caused the failure raise it.
        """
        future: Future[R] = Future()
        if group := self._join(value, future):
            self._commit_group(group)
        try:
            return future.result()
        except _GroupFailed:
            return self._commit([value])[0]

    def _join(self, value: T, future: Future[R]) -> list[tuple[T, Future[R]]]:
        """
        Wait until the value is committed, or until it is in the next group: return that, for this thread to commit.
        """
        with self._changed:
            self._waiting.append((value, future))
            self._changed.wait_for(lambda: future.done() or not self._is_committing)
            if future.done():
                return []
            group, self._waiting, self._is_committing = self._waiting, [], True
            return group

    def _commit_group(self, group: Sequence[tuple[T, Future[R]]]) -> None:
        results: Sequence[R] = ()
        try:
            results = self._commit([value for value, _ in group])
        except Exception:
            if len(group) == 1:
                raise
        finally:
            self._finish([future for _, future in group], results)

    def _finish(self, futures: Sequence[Future[R]], results: Sequence[R]) -> None:
        with self._changed:
            for number, future in enumerate(futures):
                if results:
                    future.set_result(results[number])
                else:
                    future.set_exception(_GroupFailed())
            self._is_committing = False
            self._changed.notify_all()
