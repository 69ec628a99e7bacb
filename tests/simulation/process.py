"""
A process that runs the shop's code, and dies or falls asleep at one of its boundaries when it is doomed to.

All stories are told inside one transaction, so a commit is the release of an outermost savepoint, or a write outside
of every savepoint.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from django.core.mail import EmailMessage
from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper

from tests.concurrency.boundaries import Crash

from .tally import Tally

CALLS = ("cancel", "charge", "look_up", "mail", "refund")
"""The boundaries beside commits."""

CLAIM = "attempts = attempts + 1"
"""What marks the commit by which a relay takes hold of deliveries."""

Mail = tuple[str, str, str]
"""Its recipient, subject and body."""


class Process:
    """
    Cross boundaries, and die or fall asleep at one of them.
    """

    def __init__(self, tally: Tally) -> None:
        self.tally = tally
        self.has_written = False
        self.mails: Counter[Mail] = Counter()
        self.unrecorded_mails: list[Mail] = []
        """What was handed over since the latest commit."""
        self.excused_mails: Counter[Mail] = Counter()
        """What nobody had recorded when it died or slept, and is therefore mailed again."""
        self.meanwhile: Callable[[], object] = lambda: None
        """What happens elsewhere while it sleeps for longer than its lease."""
        self._has_overslept = False
        self._dooms: dict[str, tuple[int, str]] = {}

    def doom(self, boundary: str, crossings: int, fate: str) -> None:
        """
        Let it die before or after it crosses such a boundary, or fall asleep there, after so many others of the kind.
        """
        self._dooms[boundary] = (crossings, fate)

    def spare(self) -> None:
        self._dooms.clear()

    @contextmanager
    def crossing(self, name: str, undo: Callable[[], object] = lambda: None) -> Iterator[None]:
        fate = self._fate(name)
        if fate == "crash before":
            undo()
            self._die(f"{fate} {name}")
        yield
        if fate == "crash after":
            self._die(f"{fate} {name}")
        elif fate:
            self._sleep(f"{fate} {name}")

    @contextmanager
    def committing(self, undo: Callable[[], object] = lambda: None, *, name: str = "commit") -> Iterator[None]:
        self.has_written = True
        with self.crossing(name, undo):
            yield
            self.unrecorded_mails.clear()
            self._has_overslept = False

    def hand_over(self, message: EmailMessage) -> None:
        mail = (message.to[0], message.subject, message.body)
        with self.crossing("mail"):
            self.mails[mail] += 1
            self.unrecorded_mails.append(mail)
            self.excused_mails[mail] += self._has_overslept

    def _fate(self, crossed: str) -> str:
        crossings, fate = self._dooms.pop(crossed, (0, ""))
        if crossings:
            self._dooms[crossed] = (crossings - 1, fate)
        return "" if crossings else fate

    def _die(self, how: str) -> None:
        self._lose_mails(how)
        raise Crash

    def _sleep(self, how: str) -> None:
        self._lose_mails(how)
        self.meanwhile()
        self._has_overslept = True

    def _lose_mails(self, how: str) -> None:
        self.tally.happened(how)
        self.excused_mails.update(self.unrecorded_mails)
        self.unrecorded_mails.clear()


@contextmanager
def watched(process: Process) -> Iterator[None]:
    """
    Let every commit and mail inside the block cross a boundary of this process.
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

    def write_across(execute: Callable, sql: str, *about: object) -> object:
        if len(connection.savepoint_ids) > outermost or not sql.lstrip().startswith(("INSERT", "UPDATE", "DELETE")):
            return execute(sql, *about)
        with process.committing(name="claim" if CLAIM in sql else "commit"):
            return execute(sql, *about)

    def send_across(message: EmailMessage) -> None:
        process.hand_over(message)

    with pytest.MonkeyPatch.context() as patch, connection.execute_wrapper(write_across):
        patch.setattr(BaseDatabaseWrapper, "savepoint_commit", commit_across)
        patch.setattr(BaseDatabaseWrapper, "savepoint_rollback", undo)
        patch.setattr(EmailMessage, "send", send_across)
        yield
