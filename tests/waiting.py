"""Waiting for what another thread or process does."""

import time
from collections.abc import Callable

PATIENCE_SECONDS = 60
POLL_SECONDS = 0.02


def eventually(
    condition: Callable[[], object],
    *,
    within: float = PATIENCE_SECONDS,
    every: float = POLL_SECONDS,
    ignoring: type[Exception] | tuple[type[Exception], ...] = (),
) -> float:
    """
    Wait until the condition is true, and return how many seconds that took. An exception in `ignoring` counts as false.

    :raises AssertionError: if the condition is not true within so many seconds.
    """
    began = time.monotonic()
    while not _is_true(condition, ignoring):
        assert time.monotonic() - began < within, f"not true within {within} s: {condition.__qualname__}"
        time.sleep(every)
    return time.monotonic() - began


def _is_true(condition: Callable[[], object], ignoring: type[Exception] | tuple[type[Exception], ...]) -> bool:
    try:
        return bool(condition())
    except ignoring:
        return False
