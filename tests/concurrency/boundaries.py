"""Boundaries: the moments at which a process commits, or calls a service whose effects outlive the process."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from anymail.backends.test import EmailBackend
from django.core.mail import EmailMessage
from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper

from payments.gateway import protocol
from payments.gateway.protocol import Gateway

Moment = tuple[int, str]
"""The number of a boundary, and "before" or "after"."""


class Crash(BaseException):
    """The end of the process: like SIGKILL, it is caught by no `except Exception`."""


@dataclass
class Boundaries:
    """Record every boundary that is crossed, and crash before or after one of them."""

    crash_at: Moment | None = None
    crossed: list[str] = field(default_factory=list)
    moments: list[Moment] = field(default_factory=list)

    def distinct_moments(self, *, since: str = "") -> list[Moment]:
        """
        Return the moments whose crashes leave different states. A crash before a boundary is left out if one after
        the previous boundary leaves the same, since nothing between the two outlives the process.

        :param since: the name of the first boundary that counts, if it is not the first of all.
        """
        pairs = pairwise(self.moments)
        repeated = {later for earlier, later in pairs if (earlier[1], later[1]) == ("after", "before")}
        begin = self.crossed.index(since) if since else 0
        return [moment for moment in self.moments if moment[0] >= begin and moment not in repeated]

    @contextmanager
    def crossing(self, name: str) -> Iterator[None]:
        here = len(self.crossed)
        self.crossed.append(name)
        self._crash_if_at(here, "before")
        yield
        self._crash_if_at(here, "after")

    def execute(self, execute: Callable, sql: str, params: object, many: bool, context: dict) -> object:  # noqa: FBT001
        """Treat a write outside of every transaction as a commit."""
        if context["connection"].in_atomic_block or not sql.startswith(("INSERT", "UPDATE", "DELETE")):
            return execute(sql, params, many, context)
        with self.crossing("commit"):
            return execute(sql, params, many, context)

    def crashed_after_mail(self) -> bool:
        """Return whether the crash fell between a mail and its record, so that the mail is sent twice."""
        here, moment = self.crash_at or (0, "before")
        return (self.crossed[here], moment) == ("mail", "after")

    def _crash_if_at(self, here: int, moment: str) -> None:
        self.moments.append((here, moment))
        if (here, moment) == self.crash_at:
            raise Crash


@contextmanager
def watched(boundaries: Boundaries, gateway: Gateway) -> Iterator[None]:
    """Pay through this gateway, and make every commit and mail inside the block cross a boundary."""
    commit, send = BaseDatabaseWrapper._commit, EmailBackend.send_messages

    def commit_across(database: BaseDatabaseWrapper) -> None:
        try:
            with boundaries.crossing("commit"):
                commit(database)
        except Crash:
            database.connection.rollback()
            raise

    def send_across(backend: EmailBackend, messages: Sequence[EmailMessage]) -> int:
        with boundaries.crossing("mail"):
            return send(backend, messages)

    with pytest.MonkeyPatch.context() as patch, connection.execute_wrapper(boundaries.execute):
        patch.setattr(protocol, "current", lambda: gateway)
        patch.setattr(BaseDatabaseWrapper, "_commit", commit_across)
        patch.setattr(EmailBackend, "send_messages", send_across)
        yield
