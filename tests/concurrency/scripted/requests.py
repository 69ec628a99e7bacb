"""Requests to the scripted subscriber, and what became of them."""

import json
import re
from dataclasses import dataclass
from uuid import uuid4

from django.utils import timezone

from messaging.models import Delivery, OutboxMessage
from tests.programs import Cluster


@dataclass(frozen=True)
class Outcome:
    status: str
    attempts: int
    completed: int = 1
    """How often the script took effect."""


def request(*scripts: dict[str, object]) -> list[Delivery]:
    """
    Request these scripts at once, each under a key of its own, such as `{"sleep": 1.5}` or `{"die": True}`.

    The rows are written without `publish`: only the workers know these events, which are not published language.
    """
    messages = OutboxMessage.objects.bulk_create([_message(f"script-{uuid4()}", script) for script in scripts])
    return Delivery.objects.bulk_create(
        [
            Delivery(message=message, subscriber="tests.run_script", key=message.key, due_at=message.published_at)
            for message in messages
        ]
    )


def outcome(delivery: Delivery) -> Outcome:
    delivery.refresh_from_db()
    completed = OutboxMessage.objects.filter(type="scripted.script_completed", key=delivery.key)
    return Outcome(delivery.status, delivery.attempts, completed.count())


def pids_of_scripts(cluster: Cluster) -> list[int]:
    """Return the process of each script that began, in the order in which they began."""
    return [int(pid) for pid in re.findall(r"Script in process (\d+)", cluster.output)]


def _message(key: str, script: dict[str, object]) -> OutboxMessage:
    return OutboxMessage(
        type="scripted.script_requested",
        version=1,
        key=key,
        payload=json.dumps({"script": key} | script),
        correlation_id=uuid4(),
        published_at=timezone.now(),
    )
