"""
Whether a failed request may have changed the database.

A connection that is lost in COMMIT, or after it, leaves the outcome unknown to the shop. Lost in a statement of a
transaction, it rolls the transaction back. The error response says which of the two it is.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections

# Statements that change no row outside of a transaction; any other counts as a write.
READS = ("SELECT", "BEGIN", "SET", "PRAGMA")


class Writes:
    """
    The writes of one request: a wrapper of each statement and of each COMMIT on its connection.
    """

    def __init__(self, commit: Callable[[], None]) -> None:
        self._commit = commit
        self.may_be_committed = False

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:  # noqa: FBT001
        if not context["connection"].in_atomic_block:
            # It commits by itself, whether or not its reply arrives.
            self.may_be_committed |= not sql.lstrip().startswith(READS)
        return execute(sql, params, many, context)

    def commit(self) -> None:
        self.may_be_committed = True
        self._commit()


_writes: ContextVar[Writes | None] = ContextVar("writes", default=None)


@contextmanager
def tracking_writes() -> Iterator[None]:
    """
    Track the writes of the request that is processed in this block.
    """
    own = connections[DEFAULT_DB_ALIAS]
    writes = Writes(own.commit)
    token = _writes.set(writes)
    # Django tells of a commit that succeeds only.
    own.commit = writes.commit  # type: ignore[method-assign]
    try:
        with own.execute_wrapper(writes):
            yield
    finally:
        del own.commit
        _writes.reset(token)


def is_unknown() -> bool:
    """
    Return whether the current request may have changed the database, given that an error of the database ended it.
    """
    writes = _writes.get()
    return writes is not None and writes.may_be_committed
