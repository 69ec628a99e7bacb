import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from multiprocessing import get_context
from threading import Thread
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connection
from django_q.cluster import Sentinel

from messaging.liveness import kill_requested_workers
from messaging.process_tree import ProcessTree

logger = logging.getLogger(__name__)

GRACE_SECONDS = 1.5
"""How long processes may take to end beyond the limit of a handler."""

CHECK_SECONDS = 2
"""A worker whose end was requested is killed after this time at most."""


class Command(BaseCommand):
    help = (
        "Run the workers, and the periodic chores, until Ctrl-C or SIGTERM. Each worker finishes its batch first, for "
        "MESSAGING_HANDLER_LIMIT_SECONDS at most. No process is left behind, even if this one is killed. It kills a "
        "worker whose end was requested (end_worker, or the admin), and starts another. "
        "Exit status: 0 if stopped, 1 if django-q2's supervisor died."
    )

    is_stopped = False

    def handle(self, **options: Any) -> None:
        tree = ProcessTree()
        self._start_sentinel()
        Thread(target=_kill_requested_workers, daemon=True).start()
        # Without a timeout: with one, it would wait for the end of the workers, which hold the same pipe open.
        self._sentinel.join()
        if not tree.end(within=settings.MESSAGING.handler_limit_seconds + GRACE_SECONDS):
            self._kill_group()
        if not self.is_stopped:
            raise CommandError("The sentinel of django-q2 died, so the workers were stopped.")

    def _start_sentinel(self) -> None:
        """
        Fork django-q2's supervisor, which forks the workers. Until then, a signal ends this process at once.
        """
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        fork = get_context("fork")
        self._sentinel = fork.Process(target=Sentinel, args=(fork.Event(), fork.Event(), uuid4()), name="sentinel")
        self._sentinel.start()
        set_handler(self._stop)

    def _stop(self, *_: object) -> None:
        """
        Kill the sentinel, so that no worker is replaced any more. Its own way to stop may wait for ever.
        """
        self.is_stopped = True
        self._sentinel.kill()
        set_handler(signal.SIG_IGN)

    def _kill_group(self) -> None:
        """
        Kill the own process group, with this process, if it leads one. Otherwise the group belongs to another program,
        such as `up`, which kills it.
        """
        self.stderr.write("A process did not end in time: it is frozen, or busy in native code.")
        if os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)
        sys.exit(1)


def _kill_requested_workers() -> None:
    while True:
        time.sleep(CHECK_SECONDS)
        try:
            kill_requested_workers()
        except DatabaseError as error:
            logger.warning("Whether a worker has to be killed is not known: %s", error)
        finally:
            connection.close()


def set_handler(handler: Callable[..., None] | signal.Handlers) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handler)
