"""One pipeline measured in a process of its own, over the database of DATABASE_URL."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import django

django.setup()

from django.db import connection  # noqa: E402

from messaging.models import OutboxMessage  # noqa: E402
from tests.bench.handlers import FOLDER  # noqa: E402
from tests.bench.http_requests import Caller  # noqa: E402
from tests.bench.shop import place_to_mail  # noqa: E402

from . import kills  # noqa: E402
from .names import ONE_BY_ONE, OVER_CELERY  # noqa: E402
from .one_by_one import INDEX  # noqa: E402
from .pipelines import running  # noqa: E402

WARM_UP_ORDERS = 40
CONNECTIONS = 8


def main() -> None:
    """Read the plan of `tests.bench.compare` from the input, and write the figures to the bench's folder."""
    plan = json.load(sys.stdin)
    callers = [Caller(*caller) for caller in plan["callers"]]
    if plan["pipeline"] == ONE_BY_ONE:
        with connection.cursor() as cursor:
            cursor.execute(INDEX)
    messages = OutboxMessage.objects.count()
    measure = throughput if plan["part"] == "throughput" else kills.survive
    figures = measure(plan, callers, FOLDER)
    if plan["pipeline"] in OVER_CELERY:
        assert OutboxMessage.objects.count() == messages, "Something was published to the outbox instead of Celery."
    (FOLDER / "figures").write_text(json.dumps(figures))


def throughput(plan: Mapping[str, Any], callers: Sequence[Caller], folder: Path) -> Mapping[str, float]:
    """Return the figures of orders until their mails, after some orders that are not measured."""
    with running(plan["pipeline"], folder) as pipeline:
        place_to_mail(pipeline.shop, callers, orders=WARM_UP_ORDERS, connections=CONNECTIONS)
        return place_to_mail(pipeline.shop, callers, orders=plan["orders"], connections=CONNECTIONS)


if __name__ == "__main__":
    main()
