"""
Whether a failed request may have changed the database.

A connection that is lost in COMMIT, or after it, leaves the outcome unknown to the shop. Lost in a statement of a
transaction, it rolls the transaction back. The error response says which of the two it is.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.db import connection

# Statements that change no row outside of a transaction; any other counts as a write.
READS = ("SELECT", "BEGIN", "SET", "PRAGMA")


class Writes:
    """
    The writes of one request, as an execute wrapper of its connection.

    In a transaction each statement counts as a write, since COPY passes no wrapper. One callback per transaction
    reports its commit.
    """

    def __init__(self) -> None:
        self._is_committed = False
        self._is_pending = False
        self._failure: BaseException | None = None

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:  # noqa: FBT001
        if not connection.in_atomic_block:
            # It commits by itself, whether or not its reply arrives.
            self._is_committed |= not sql.lstrip().startswith(READS)
            return execute(sql, params, many, context)
        try:
            result = execute(sql, params, many, context)
        except Exception as error:
            self._failure = error
            raise
        self._await_commit()
        return result

    def are_undone_by(self, error: Exception) -> bool:
        """
        Return whether no write is in the database, given the error that ended the request.
        """
        return not self._is_committed and (error is self._failure or not self._is_pending)

    def _await_commit(self) -> None:
        self._is_pending = True
        # A rollback drops the callback; that of a savepoint does not, since SAVEPOINT itself passes here first.
        if not any(callback == self._commit for _, callback, *_ in connection.run_on_commit):
            connection.on_commit(self._commit)

    def _commit(self) -> None:
        self._is_committed = True


_writes: ContextVar[Writes | None] = ContextVar("writes", default=None)


@contextmanager
def tracking_writes() -> Iterator[None]:
    """
    Track the writes of the request that is processed in this block.
    """
    writes = Writes()
    token = _writes.set(writes)
    try:
        with connection.execute_wrapper(writes):
            yield
    finally:
        _writes.reset(token)


def is_unknown(error: Exception) -> bool:
    """
    Return whether the current request may have changed the database before this error of the database.
    """
    writes = _writes.get()
    return writes is not None and not writes.are_undone_by(error)
