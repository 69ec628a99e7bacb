"""
The id of the current request, in its response, in its problem details and in each of its log lines.

It is also the id of the trace that begins with the request, which the log lines of workers and `trace_order` show. If
the request has a valid `traceparent`, the caller's trace goes on instead, and the log lines of the request show both.
"""

from contextvars import ContextVar
from logging import Filter, LogRecord
from uuid import uuid4

from messaging.kernel.tracing import (
    current_messages,
    current_trace_id,
    enter_trace,
    is_traceparent,
    new_traceparent,
)

MOST_MESSAGES = 10
"""A line names the first messages of a batch."""

_current: ContextVar[str] = ContextVar("request_id", default="-")


def begin(traceparent: str = "") -> str:
    """
    Begin a request, and return its id. It is always our own: a caller's might be forged, or be used twice.

    :param traceparent: the header of the request; it is ignored if it is not valid.
    """
    request_id = uuid4().hex
    _current.set(request_id)
    enter_trace(traceparent if is_traceparent(traceparent) else new_traceparent(request_id))
    return request_id


def current() -> str:
    """
    Return the id of the current request; a dash outside of any.
    """
    return _current.get()


class LogIds(Filter):
    """
    Add `request_id` and `trace_id` to each log record, and `ids`: both, or one if they are equal or one is missing. Add
    `message_ids` and `message_keys` of the messages that are being handled; most keys are ids of orders.
    """

    def filter(self, record: LogRecord) -> bool:
        request_id, trace_id = current(), current_trace_id()
        ids = dict.fromkeys(id_ for id_ in (request_id, trace_id) if id_ != "-")
        messages = current_messages()[:MOST_MESSAGES]
        record.__dict__ |= {
            "request_id": request_id,
            "trace_id": trace_id,
            "ids": " ".join(ids) or "-",
            "message_ids": [str(message.message_id) for message in messages],
            "message_keys": [message.key for message in messages],
        }
        return True
