"""
Hosting the relay: in each worker process of a django-q2 cluster, or in a thread of the web process.

django-q2 spawns, supervises and respawns the worker processes; its own queue carries nothing, since it stops for ever
when the wrong idle process is killed (docs/decisions/0002). A worker ends itself when a handler overruns its limit and
when its supervisor is gone.
"""

import atexit
import logging
import os
import signal
import threading
import time
from multiprocessing import parent_process
from multiprocessing.util import Finalize
from typing import Any

from django.conf import settings
from django.core import checks
from django_q.signals import post_spawn

from .relay import Relay

logger = logging.getLogger(__name__)

WATCH_SECONDS = 0.5


def attach_to_cluster() -> None:
    """
    Have django-q2 start a relay in every worker process that it spawns.
    """
    post_spawn.connect(start_in_worker, dispatch_uid="messaging.relay")
    checks.register(check_lease)


def start_in_worker(**_: Any) -> None:
    """
    Run a relay beside django-q2's idle main thread; SIGTERM ends it after the batch in hand.
    """
    relay, stop = Relay(), threading.Event()
    thread = threading.Thread(target=relay.run, args=(stop,), name="relay")
    threading.Thread(target=_watch, args=(relay, thread, stop), name="relay-watcher", daemon=True).start()
    thread.start()
    Finalize(None, _finish, args=(thread, stop), exitpriority=100)


def start_in_thread() -> None:
    """
    Run a relay in this process until it exits, so that the web process alone is a whole shop.
    """
    stop = threading.Event()
    atexit.register(stop.set)
    threading.Thread(target=Relay().run, args=(stop,), name="relay", daemon=True).start()


def check_lease(**_: Any) -> list[checks.CheckMessage]:
    """
    Refuse a handler limit that a lease does not outlast: two workers would do the same work at once.
    """
    limit, lease = settings.MESSAGING.handler_limit_seconds, settings.MESSAGING.lease_seconds
    if limit < lease:
        return []
    hint = "Raise MESSAGING_LEASE_SECONDS above MESSAGING_HANDLER_LIMIT_SECONDS."
    problem = f"Handlers may run {limit} s but a lease ends after {lease} s."
    return [checks.Error(problem, hint=hint, id="messaging.E001")]


def _watch(relay: Relay, thread: threading.Thread, stop: threading.Event) -> None:
    limit, supervisor = settings.MESSAGING.handler_limit_seconds, _supervisor()
    while True:
        time.sleep(WATCH_SECONDS)
        since = relay.reacting_since
        if since is not None and time.monotonic() - since > limit:
            logger.critical("A handler ran longer than %s s: this worker ends, another takes over.", limit)
            _end_process()
        if os.getppid() != supervisor or not thread.is_alive():
            stop.set()
            thread.join(limit)
            _end_process()


def _finish(thread: threading.Thread, stop: threading.Event) -> None:
    """
    Have the relay finish what it has in hand while it may still call the outside: on its way out Python closes the
    pools of threads before it waits for any thread.
    """
    stop.set()
    thread.join(settings.MESSAGING.handler_limit_seconds)


def _supervisor() -> int:
    """
    Name the process that forked this one, though it may have died since.
    """
    parent = parent_process()
    return parent.pid if parent and parent.pid else os.getppid()


def _end_process() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
