"""
Hosts of the relay: the worker processes of a django-q2 cluster, or a thread of the web process.

django-q2 spawns, supervises and respawns the worker processes. Its own queue is not used: it stops for ever if a
certain idle process is killed (docs/decisions/0002). A worker ends itself when a subscriber exceeds its time limit, and
after its batch when the main process of the cluster ends or is gone.
"""

import atexit
import gc
import logging
import os
import signal
import threading
import time
from functools import partial
from multiprocessing.util import Finalize
from typing import Any

from django.conf import settings
from django.core import checks
from django_q.signals import post_spawn

from . import process_tree
from .relay import Relay

logger = logging.getLogger(__name__)

WATCH_SECONDS = 0.5


def attach_to_cluster() -> None:
    """
    Start a relay in each worker process that django-q2 spawns.
    """
    post_spawn.connect(start_in_worker, dispatch_uid="messaging.relay")
    checks.register(check_lease)


def start_in_worker(**_: Any) -> None:
    """
    Run a relay beside django-q2's idle main thread, until the cluster stops.
    """
    # Full collections, two in a thousand orders, would examine all loaded code again: a tenth of a worker's time.
    gc.freeze()
    relay, stop = Relay(), threading.Event()
    thread = threading.Thread(target=relay.run, args=(stop,), name="relay")
    finish = partial(_finish, thread, stop)
    process_tree.before_end(finish)  # first, since the cluster may stop at any moment
    Finalize(None, finish, exitpriority=100)
    thread.start()
    threading.Thread(target=_watch, args=(relay, thread), name="relay-watcher", daemon=True).start()


def start_in_thread() -> None:
    """
    Run a relay in a thread until its process exits: the web process then needs no workers.
    """
    stop = threading.Event()
    atexit.register(stop.set)
    threading.Thread(target=Relay().run, args=(stop,), name="relay", daemon=True).start()


def check_lease(**_: Any) -> list[checks.CheckMessage]:
    """
    Reject a handler limit that is not below the lease: two workers would handle the same delivery at once.
    """
    limit, lease = settings.MESSAGING.handler_limit_seconds, settings.MESSAGING.lease_seconds
    if limit < lease:
        return []
    hint = "Raise MESSAGING_LEASE_SECONDS above MESSAGING_HANDLER_LIMIT_SECONDS."
    problem = f"Handlers may run {limit} s but a lease ends after {lease} s."
    return [checks.Error(problem, hint=hint, id="messaging.E001")]


def _watch(relay: Relay, thread: threading.Thread) -> None:
    """
    End this process when a handler exceeds its limit, and when the relay has ended.
    """
    limit = settings.MESSAGING.handler_limit_seconds
    while thread.is_alive():
        time.sleep(WATCH_SECONDS)
        since = relay.reacting_since
        if since is not None and time.monotonic() - since > limit:
            logger.critical("A handler exceeded its limit of %s s: this worker ends, and another takes over.", limit)
            break
    os.kill(os.getpid(), signal.SIGKILL)


def _finish(thread: threading.Thread, stop: threading.Event) -> None:
    """
    Stop the relay after its current batch, before the interpreter shuts down: Python closes thread pools, which the
    batch may need, before it joins other threads.
    """
    stop.set()
    thread.join(settings.MESSAGING.handler_limit_seconds)
