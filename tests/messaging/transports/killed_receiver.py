"""A receiver in a process of its own that is killed as soon as it has stored a set, before it acknowledges it."""

import os
import signal
import sys
import threading
from collections.abc import Sequence

COMMAND = [sys.executable, "-c", f"from {__name__} import main; main()"]


def main() -> None:
    import django

    django.setup()
    from messaging import subscribers
    from messaging.contracts import ProductAdded

    subscribers._registry = {}
    subscribers.subscriber(ProductAdded)(paint)
    receive_and_be_killed()


def receive_and_be_killed() -> None:
    from messaging import inbox, receiver
    from messaging.contracts import ProductAdded

    def store(bodies: Sequence[bytes]) -> None:
        inbox.store(bodies)
        os.kill(os.getpid(), signal.SIGKILL)

    receiver.store = store
    receiver.Receiver({ProductAdded.type}).run(threading.Event())


def paint(events: Sequence[object]) -> None:
    """The subscriber `tests.paint` of the test, which handles what this process only stores."""
