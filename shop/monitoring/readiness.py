"""
Readiness: whether this service can do its work, by a few cheap checks.

The problems are fixed sentences without addresses and error texts, because every caller may read them.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

from django.conf import settings
from django.db import Error, connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from messaging.models import Delivery, OperatorPause, SubscriberPause
from messaging.status import lag_of, live_workers
from messaging.subscribers import all_subscribers

logger = logging.getLogger(__name__)

PROBE_SECONDS = 60
"""A subscriber that was paused so recently is probing the service that it calls, or has just found it back."""


class Check(NamedTuple):
    name: str
    problem: str
    """Empty if the check is ok."""


def check_readiness(now: datetime) -> list[Check]:
    """
    Return the result of each check. This takes `messaging.status.LAG_SECONDS` more if the broker does not answer.
    """
    first, *others = CHECKS.items()
    database = _run(*first, now)
    if database.problem:
        return [database, *(Check(name, "Not checked without the database.") for name, _ in others)]
    return [database, *(_run(name, check, now) for name, check in others)]


def _run(name: str, check: Callable[[datetime], str], now: datetime) -> Check:
    try:
        problem = check(now)
    except Error as error:
        logger.warning("The check of %s failed: %s", name, error)
        problem = "The database does not answer."
    return Check(name, problem)


def _database(now: datetime) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return ""


def _migrations(now: datetime) -> str:
    applied = MigrationRecorder(connection).applied_migrations()
    return "" if _last_migrations() <= applied.keys() else "Migrations are not applied: run migrate."


def _workers(now: datetime) -> str:
    wanted = settings.MONITORING.ready_workers
    alive = len(live_workers()) if wanted else 0
    return f"Workers that run: {alive}. At least {wanted} should." if alive < wanted else ""


def _oldest_due(now: datetime) -> str:
    limit = settings.MONITORING.ready_oldest_due_seconds
    if not limit:
        return ""
    late = Delivery.objects.due(now - timedelta(seconds=limit)).filter(subscriber__in=_unpaused(now))
    return f"A delivery has been due for more than {limit} s." if late.exists() else ""


def _broker(now: datetime) -> str:
    limit = settings.MONITORING.ready_broker_lag
    if not (settings.TRANSPORT.url and limit):
        return ""
    try:
        lag = lag_of(settings.TRANSPORT.broker) or 0
    except Exception as error:  # noqa: BLE001  (each client fails in its own way)
        logger.warning("The check of the broker failed: %s", error)
        return "The broker does not answer."
    return f"More than {limit} messages wait at the broker." if lag > limit else ""


CHECKS: Mapping[str, Callable[[datetime], str]] = {
    "database": _database,
    "migrations": _migrations,
    "workers": _workers,
    "oldest_due": _oldest_due,
    "broker": _broker,
}
"""Each returns its problem, or an empty text. The first decides whether the others are run."""


def _unpaused(now: datetime) -> Sequence[str]:
    """
    Return the subscribers whose deliveries wait neither for an external service nor for an operator. The others wait as
    they should.
    """
    recently = now - timedelta(seconds=PROBE_SECONDS)
    paused = set(SubscriberPause.objects.filter(until__gt=recently).values_list("subscriber", flat=True))
    paused |= set(OperatorPause.objects.values_list("subscriber", flat=True))
    return [name for name in all_subscribers() if name not in paused]


@lru_cache(maxsize=1)
def _last_migrations() -> frozenset[tuple[str, str]]:
    """
    Return the migrations of this release on which no other depends: when these are applied, all are.
    """
    return frozenset(MigrationLoader(None).graph.leaf_nodes())
