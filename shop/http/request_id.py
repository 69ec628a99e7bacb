"""
The id of the request being answered: in each answer, each error and each line of the log.
"""

from contextvars import ContextVar
from logging import Filter, LogRecord
from uuid import uuid4

_current: ContextVar[str] = ContextVar("request_id", default="-")


def begin() -> str:
    """
    Give the request that begins here an id of its own. A caller's would be one that others may have, or could forge.
    """
    _current.set(uuid4().hex)
    return _current.get()


def current() -> str:
    """
    Tell the id of the request being answered; a dash outside of any.
    """
    return _current.get()


class RequestId(Filter):
    """
    Let each line of the log say which request it belongs to.
    """

    def filter(self, record: LogRecord) -> bool:
        record.request_id = current()
        return True
