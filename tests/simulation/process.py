"""
A simulated process that runs the shop's code, and crashes or stalls at one of its boundaries as planned.

All runs share one transaction: a commit is the release of an outermost savepoint, or a write outside every savepoint.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest
from anymail.backends.test import EmailBackend
from django.core.mail import EmailMessage
from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper

from tests.concurrency.boundaries import Crash

from .statistics import Statistics

CALLS = ("cancel", "charge", "look_up", "mail", "refund")
"""The boundaries beside commits."""

CLAIM = "attempts = attempts + 1"
"""Marks the statement by which a relay claims deliveries."""

Mail = tuple[str, str, str]
"""Its recipient, subject and body."""


class Process:
    def __init__(self, statistics: Statistics) -> None:
        self.statistics = statistics
        self.has_written = False
        self.mails: Counter[Mail] = Counter()
        self.unrecorded_mails: list[Mail] = []
        """Sent since the latest commit."""
        self.excused_mails: Counter[Mail] = Counter()
        """Not recorded when the process crashed or stalled, and therefore sent again."""
        self.meanwhile: Callable[[], object] = lambda: None
        """Called while the process stalls for longer than its lease."""
        self._has_lost_lease = False
        self._planned: dict[str, tuple[int, str]] = {}

    def plan(self, boundary: str, crossings: int, failure: str) -> None:
        """
        Crash before or after this boundary, or stall after it, once it was crossed so many times.
        """
        self._planned[boundary] = (crossings, failure)

    def clear_plans(self) -> None:
        self._planned.clear()

    @contextmanager
    def crossing(self, name: str, undo: Callable[[], object] = lambda: None) -> Iterator[None]:
        failure = self._failure(name)
        if failure == "crash before":
            undo()
            self._crash(f"{failure} {name}")
        yield
        if failure == "crash after":
            self._crash(f"{failure} {name}")
        elif failure:
            self._stall(f"{failure} {name}")

    @contextmanager
    def committing(self, undo: Callable[[], object] = lambda: None, *, name: str = "commit") -> Iterator[None]:
        self.has_written = True
        with self.crossing(name, undo):
            yield
            self.unrecorded_mails.clear()
            self._has_lost_lease = False

    def send(self, message: EmailMessage) -> None:
        mail = (message.to[0], message.subject, message.body)
        with self.crossing("mail"):
            self.mails[mail] += 1
            self.unrecorded_mails.append(mail)
            self.excused_mails[mail] += self._has_lost_lease

    def _failure(self, boundary: str) -> str:
        crossings, failure = self._planned.pop(boundary, (0, ""))
        if crossings:
            self._planned[boundary] = (crossings - 1, failure)
        return "" if crossings else failure

    def _crash(self, failure: str) -> None:
        self._lose_mails(failure)
        raise Crash

    def _stall(self, failure: str) -> None:
        self._lose_mails(failure)
        self.meanwhile()
        self._has_lost_lease = True

    def _lose_mails(self, failure: str) -> None:
        self.statistics.count(failure)
        self.excused_mails.update(self.unrecorded_mails)
        self.unrecorded_mails.clear()


@contextmanager
def watched(process: Process) -> Iterator[None]:
    """
    Make every commit and mail inside the block cross a boundary of this process.
    """
    outermost, undone = len(connection.savepoint_ids), set()
    release, roll_back = BaseDatabaseWrapper.savepoint_commit, BaseDatabaseWrapper.savepoint_rollback

    def undo(database: BaseDatabaseWrapper, sid: str) -> None:
        undone.add(sid)
        roll_back(database, sid)

    def commit_across(database: BaseDatabaseWrapper, sid: str) -> None:
        if len(database.savepoint_ids) > outermost or sid in undone:
            release(database, sid)
            return
        with process.committing(undo=lambda: roll_back(database, sid)):
            release(database, sid)

    def write_across(execute: Callable, sql: str, *arguments: object) -> object:
        if len(connection.savepoint_ids) > outermost or not sql.lstrip().startswith(("INSERT", "UPDATE", "DELETE")):
            return execute(sql, *arguments)
        with process.committing(name="claim" if CLAIM in sql else "commit"):
            return execute(sql, *arguments)

    def send_across(backend: EmailBackend, messages: Sequence[EmailMessage]) -> None:
        for message in messages:
            process.send(message)

    with pytest.MonkeyPatch.context() as patch, connection.execute_wrapper(write_across):
        patch.setattr(BaseDatabaseWrapper, "savepoint_commit", commit_across)
        patch.setattr(BaseDatabaseWrapper, "savepoint_rollback", undo)
        patch.setattr(EmailBackend, "send_messages", send_across)
        yield
