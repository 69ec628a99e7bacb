"""
A subscriber that does to its worker whatever the event asks for.
"""

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


class StuntAsked(Event, frozen=True):
    type: ClassVar[str] = "stunts.stunt_asked"
    keyed_by: ClassVar[str] = "performer"

    performer: str
    sleep: float = 0
    die: bool = False


class StuntPerformed(Event, frozen=True):
    type: ClassVar[str] = "stunts.stunt_performed"
    keyed_by: ClassVar[str] = "performer"

    performer: str


@subscriber(StuntAsked)
def perform(events: Sequence[StuntAsked]) -> None:
    for event in events:
        logger.info("Performing in process %s.", os.getpid())
        list(Delivery.objects.filter(key=event.performer).select_for_update())
        publish(StuntPerformed(performer=event.performer))
        time.sleep(event.sleep)
        if event.die:
            os._exit(1)
