"""
Traces (W3C Trace Context): a trace begins with a request, and the messages that follow from it carry it on. Log lines
show the current trace, and the messages that are being handled.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol
from uuid import UUID

TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}", re.ASCII
)  # W3C Trace Context, 3.2

_current: ContextVar[tuple[str, ...]] = ContextVar("traceparents", default=())


class Handled(Protocol):
    """
    A message that is being handled.
    """

    @property
    def message_id(self) -> UUID: ...
    @property
    def key(self) -> str: ...


_handled: ContextVar[Sequence[Handled]] = ContextVar("handled", default=())


def is_traceparent(text: str) -> bool:
    """
    Return whether this is a valid `traceparent`.
    """
    return TRACEPARENT.fullmatch(text) is not None


def new_traceparent(trace_id: str) -> str:
    """
    Return the `traceparent` of a trace that begins here.

    :param trace_id: the 32 hexadecimal digits of a UUID.
    """
    return f"00-{trace_id}-{trace_id[16:]}-00"


def trace_id_of(traceparent: str) -> str:
    """
    Return the trace id of a `traceparent`, 32 hexadecimal digits; an empty string for an empty one.
    """
    return traceparent[3:35]


def enter_trace(traceparent: str) -> None:
    """
    Make this the trace of the current context until another one is entered.
    """
    _current.set((traceparent,))


@contextmanager
def tracing(*traceparents: str) -> Iterator[None]:
    """
    Make these the traces of what is done inside the block: a batch of messages may belong to several.
    """
    reset = _current.set(traceparents)
    try:
        yield
    finally:
        _current.reset(reset)


def current_traceparent() -> str:
    """
    Return the `traceparent` of the current trace; an empty string if there is none, or several.
    """
    traceparents = set(_current.get())
    return traceparents.pop() if len(traceparents) == 1 else ""


def current_trace_id() -> str:
    """
    Return the id of the current trace for a log line: 32 hexadecimal digits, "3 traces" in a batch of several, or "-".
    """
    trace_ids = {trace_id_of(traceparent) for traceparent in _current.get() if traceparent}
    if len(trace_ids) > 1:
        return f"{len(trace_ids)} traces"
    return trace_ids.pop() if trace_ids else "-"


def enter_messages(messages: Sequence[Handled]) -> None:
    """
    Make these the messages of the current context until others are entered.
    """
    _handled.set(messages)


@contextmanager
def working_on(messages: Sequence[Handled]) -> Iterator[None]:
    """
    Make these the messages of what is done inside the block.
    """
    reset = _handled.set(messages)
    try:
        yield
    finally:
        _handled.reset(reset)


def current_messages() -> Sequence[Handled]:
    """
    Return the messages that are being handled, for log lines.
    """
    return _handled.get()
