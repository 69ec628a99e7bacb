"""A subscriber that sleeps or dies as its event says."""

import logging
import os
import time
from collections.abc import Sequence
from typing import ClassVar

from messaging.contracts import Event
from messaging.models import Delivery
from messaging.outbox import publish
from messaging.subscribers import subscriber

logger = logging.getLogger(__name__)


class ScriptRequested(Event, frozen=True):
    type: ClassVar[str] = "scripted.script_requested"
    keyed_by: ClassVar[str] = "script"

    script: str
    sleep: float = 0
    die: bool = False


class ScriptCompleted(Event, frozen=True):
    type: ClassVar[str] = "scripted.script_completed"
    keyed_by: ClassVar[str] = "script"

    script: str


@subscriber(ScriptRequested)
def run_script(events: Sequence[ScriptRequested]) -> None:
    for event in events:
        list(Delivery.objects.filter(key=event.script).select_for_update())
        publish(ScriptCompleted(script=event.script))
        # Frozen from here on, a worker is in no statement: PostgreSQL ends only sessions that are idle in transaction.
        logger.info("Script in process %s.", os.getpid())
        time.sleep(event.sleep)
        if event.die:
            os._exit(1)
