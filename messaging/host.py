"""
Hosts of the relay and the receiver: the worker processes of a django-q2 cluster, or a thread of the web process.

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
from collections.abc import Sequence
from functools import partial
from multiprocessing.util import Finalize
from typing import Any

from django.conf import settings
from django.core import checks
from django_q.signals import post_spawn

from . import process_tree
from .receiver import Receiver, receivers
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
    Run a relay, and with a broker a receiver, beside django-q2's idle main thread, until the cluster stops.
    """
    # Full collections, two in a thousand orders, would examine all loaded code again: a tenth of a worker's time.
    gc.freeze()
    beside, stop = receivers(), threading.Event()
    relay = Relay(reporters=beside)
    thread = threading.Thread(target=relay.run, args=(stop,), name="relay")
    threads = [thread, *_threads(beside, stop)]
    finish = partial(_finish, threads, stop)
    process_tree.before_end(finish)  # first, since the cluster may stop at any moment
    Finalize(None, finish, exitpriority=100)
    for each in threads:
        each.start()
    threading.Thread(target=_watch, args=(relay, thread), name="relay-watcher", daemon=True).start()


def start_in_thread() -> None:
    """
    Run a relay, and with a broker a receiver, in threads until their process exits: the web process then needs no
    workers.
    """
    beside, stop = receivers(), threading.Event()
    atexit.register(stop.set)
    for thread in _threads([Relay(reporters=beside), *beside], stop):
        thread.start()


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


def _threads(loops: Sequence[Relay | Receiver], stop: threading.Event) -> list[threading.Thread]:
    """
    Return threads, not started, that run these loops until `stop` is set.
    """
    return [
        threading.Thread(target=each.run, args=(stop,), name=type(each).__name__.lower(), daemon=True) for each in loops
    ]


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


def _finish(threads: Sequence[threading.Thread], stop: threading.Event) -> None:
    """
    Stop relay and receiver after their current batch, before the interpreter shuts down: Python closes thread pools,
    which the batch may need, before it joins other threads.
    """
    stop.set()
    for thread in threads:
        thread.join(settings.MESSAGING.handler_limit_seconds)
