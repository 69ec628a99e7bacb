"""
Asking the misbehaving subscriber for a stunt, and seeing what became of it.
"""

import json
import re
from uuid import uuid4

from django.utils import timezone

from messaging.models import Delivery, OutboxMessage
from tests.programs import Cluster


def ask_for(*stunts: dict[str, object]) -> list[Delivery]:
    """
    Ask for these stunts at once, each of a performer of its own.

    The events are written by hand, for only the workers know them: here they would join the published language.
    """
    now = timezone.now()
    messages = OutboxMessage.objects.bulk_create([_message(f"performer-{uuid4()}", stunt, now) for stunt in stunts])
    return Delivery.objects.bulk_create(
        [Delivery(message=message, subscriber="tests.perform", key=message.key, due_at=now) for message in messages]
    )


def outcome(delivery: Delivery) -> tuple[str, int, int]:
    """
    Tell its status, its attempts and how often it took effect.
    """
    delivery.refresh_from_db()
    performed = OutboxMessage.objects.filter(type="stunts.stunt_performed", key=delivery.key)
    return delivery.status, delivery.attempts, performed.count()


def performers(cluster: Cluster) -> list[int]:
    """
    Return the processes that began a stunt, oldest stunt first.
    """
    return [int(pid) for pid in re.findall(r"Performing in process (\d+)", cluster.output)]


def _message(performer, stunt, now) -> OutboxMessage:
    return OutboxMessage(
        type="stunts.stunt_asked",
        version=1,
        key=performer,
        payload=json.dumps({"performer": performer} | stunt),
        correlation_id=uuid4(),
        published_at=now,
    )
