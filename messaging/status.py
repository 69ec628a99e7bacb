"""
The state of the outbox for operators: the backlog of each subscriber, and with a broker its receivers and their lag.

It is read from the database, where workers record what only they know. Without a broker nothing is asked elsewhere.
"""

import socket
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain
from threading import Thread
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import F, Max, QuerySet
from django.utils import timezone
from django.utils.timezone import localtime

from .inbox import wanted_types
from .kernel.databases import adapt, read_moment
from .kernel.process_locks import free_locks
from .models import (
    IS_DEAD,
    IS_PENDING,
    SUBSCRIBERS,
    OperatorPause,
    ReceiverState,
    SubscriberPause,
    Worker,
    subscribers_with,
)
from .subscribers import Unavailable, all_subscribers
from .transports.protocol import Broker, new_transport

LAG_SECONDS = 3
"""How long it waits for the broker's answer."""

SILENT = timedelta(seconds=20)
"""After which a worker that has recorded nothing is silent: four times `liveness.SEEN_SECONDS`."""

MINUTE = timedelta(minutes=1)

MOST_COUNTED, MOST_DELIVERED = 10_000, 20_000
"""So many pending deliveries of a subscriber are counted, as many dead letters, and so many deliveries of a minute:
otherwise pages and metrics would take the longer, the longer the backlog is."""

EXACT = 2**62
"""The limit of who counts all of them."""

# Without an order: PostgreSQL expects few pending deliveries, and would sort all of them.
COUNT_PENDING = f"""
    SELECT %s, count(*),
        count(CASE WHEN due_at <= %s THEN 1 END),
        count(CASE WHEN due_at > %s AND claim_token IS NOT NULL THEN 1 END),
        count(CASE WHEN due_at > %s AND claim_token IS NULL AND attempts + deferrals > 0 THEN 1 END),
        (SELECT min(due_at) FROM messaging_delivery WHERE {IS_PENDING} AND subscriber = %s)
    FROM (
        SELECT due_at, claim_token, attempts, deferrals FROM messaging_delivery
        WHERE {IS_PENDING} AND subscriber = %s LIMIT %s
    ) AS counted
"""  # noqa: S608  (a condition of ours)
COUNT_DEAD_AND_DELIVERED = f"""
    SELECT name, 'dead', (
        SELECT count(*) FROM (
            SELECT 1 FROM messaging_delivery WHERE {IS_DEAD} AND subscriber = name LIMIT %s
        ) AS counted
    ) FROM ({SUBSCRIBERS.format(condition=IS_DEAD)}) AS subscribers
    UNION ALL
    SELECT subscriber, 'delivered', count(*) FROM (
        SELECT subscriber FROM messaging_delivery WHERE delivered_at > %s ORDER BY delivered_at DESC LIMIT %s
    ) AS newest GROUP BY subscriber
"""  # noqa: S608
NOTHING = "SELECT NULL WHERE 1 = 0"


@dataclass(frozen=True, kw_only=True)
class SubscriberStatus:
    """
    The deliveries of a subscriber: `due`, `claimed`, `retrying` and `delayed` are together those that are pending.
    """

    name: str
    due: int = 0
    claimed: int = 0
    """A worker is delivering them."""
    retrying: int = 0
    """Due later, after a failed or deferred attempt."""
    delayed: int = 0
    """Published for later."""
    dead: int = 0
    has_more: bool = False
    """Whether more are pending than those that were counted."""
    has_more_dead: bool = False
    oldest_due_seconds: float | None = None
    """For how long the oldest of those that are due has been due."""
    delivered_last_minute: int = 0
    paused_until: datetime | None = None
    """The end of the longest pause in a worker."""
    paused_by: str = ""
    """The operator who has paused it in all workers; empty if none has."""
    paused_at: datetime | None = None
    pause_reason: str = ""

    @property
    def pending(self) -> int:
        return self.due + self.claimed + self.retrying + self.delayed

    @property
    def shown_dead(self) -> str:
        return f"{self.dead}{'+' * self.has_more_dead}"

    @property
    def is_idle(self) -> bool:
        """
        Return whether there is nothing to tell about this subscriber.
        """
        return self == SubscriberStatus(name=self.name)

    def problems(self) -> Iterator[str]:
        if self.dead:
            letters = "dead letter" if self.dead == 1 else "dead letters"
            yield f"{self.name} has {self.shown_dead} {letters}: list_dead_letters --subscriber {self.name}"
        if self.paused_until:
            yield f"{self.name} is paused until {_to_the_second(self.paused_until)}: the service that it calls is down."
        if self.paused_by and self.paused_at:
            yield (
                f"{self.name} is paused since {_to_the_second(self.paused_at)} by {self.paused_by}"
                f" ({self.pause_reason}): resume_subscriber {self.name}"
            )
        if self.pending and self.name not in all_subscribers():
            number = f"{self.pending}{'+' * self.has_more}"
            deliveries = "1 delivery waits" if number == "1" else f"{number} deliveries wait"
            yield f"{deliveries} for {self.name}, which does not run here: see move_context."


@dataclass(frozen=True, kw_only=True)
class ReceiverStatus:
    worker: int
    host: str
    process: int
    state: str
    """A `ReceiverState.Status`, or `ReceiverState.DEAD`."""
    since: datetime
    received_at: datetime | None
    set_size: int
    error: str
    retry_at: datetime | None

    def problems(self) -> Iterator[str]:
        name = f"The receiver in process {self.process} on {self.host}"
        if self.state == ReceiverState.DEAD:
            yield f"{name} was killed. No other worker has noticed yet."
        if self.state == ReceiverState.Status.DISCONNECTED:
            yield f"{name} is disconnected since {_to_the_second(self.since)}: {self.error}"


@dataclass(frozen=True, kw_only=True)
class BrokerStatus:
    address: str
    lag: int | None
    """Messages that wait at the broker for this service; None if they are not known."""
    error: str
    """Why the broker did not answer; empty if it did."""
    receives: bool
    """Whether there is an event of other services that a subscriber here wants."""
    receivers: Sequence[ReceiverStatus]

    def describe_lag(self) -> str:
        lag = "unknown" if self.lag is None else self.lag
        return f"Messages that wait for this service at the broker {self.address}: {lag}."

    def problems(self) -> Iterator[str]:
        if self.error:
            yield self.error
        if self.receives and not self.receivers:
            yield "No receiver runs: start qcluster, or receive."
        for receiver in self.receivers:
            yield from receiver.problems()


@dataclass(frozen=True, kw_only=True)
class WorkerStates:
    """
    The numbers of workers.
    """

    running: set[int]
    silent: set[int]
    """Their process exists, and has not recorded for `SILENT` that it runs: it is frozen, or cannot write."""
    dead: set[int]
    """Their process was killed. Another worker that runs takes over what they claimed within seconds."""

    def described(self, number: int) -> str:
        return "dead" if number in self.dead else "silent" if number in self.silent else "running"


@dataclass(frozen=True, kw_only=True)
class OutboxStatus:
    workers: int
    """How many run."""
    silent_workers: Mapping[int, str]
    """Each by its number: process and host."""
    subscribers: Sequence[SubscriberStatus]
    broker: BrokerStatus | None
    """None without a broker."""

    def problems(self) -> list[str]:
        """
        Return what needs an operator's attention, a sentence each.
        """
        problems = [
            f"Worker {worker} is silent, and holds what it claimed: end_worker {number}"
            for number, worker in self.silent_workers.items()
        ]
        problems += [problem for subscriber in self.subscribers for problem in subscriber.problems()]
        return problems + (list(self.broker.problems()) if self.broker else [])


def outbox_status(now: datetime, *, most: int = MOST_COUNTED) -> OutboxStatus:
    """
    Return the state of the outbox. This takes `LAG_SECONDS` more at most if the broker does not answer.

    :param most: how many pending deliveries of each subscriber are counted.
    """
    workers = worker_states(now)
    silent = Worker.objects.filter(number__in=workers.silent).order_by("number") if workers.silent else []
    alive = workers.running | workers.silent
    return OutboxStatus(
        workers=len(workers.running),
        silent_workers={worker.number: str(worker) for worker in silent},
        subscribers=subscriber_statuses(alive, now, most=most),
        broker=broker_status(alive) if settings.TRANSPORT.url else None,
    )


def worker_states(now: datetime) -> WorkerStates:
    """
    Return the state of each registered worker.
    """
    seen = dict(Worker.objects.values_list("number", "seen_at"))
    dead = free_locks(seen)
    silent = {number for number, at in seen.items() if at and at < now - SILENT} - dead
    return WorkerStates(running=seen.keys() - dead - silent, silent=silent, dead=dead)


def live_workers() -> set[int]:
    """
    Return the numbers of the workers that run.
    """
    return worker_states(timezone.now()).running


def workers_of_this_machine() -> QuerySet[Worker]:
    """
    Return the workers that run on this machine, by their numbers.
    """
    return Worker.objects.filter(number__in=live_workers(), host=socket.gethostname()).order_by("number")


def subscriber_statuses(alive: Collection[int], now: datetime, *, most: int = MOST_COUNTED) -> list[SubscriberStatus]:
    """
    Return the status of each subscriber, also of those that the code defines no more and that have deliveries.

    :param alive: the numbers of the live workers.
    :param most: how many pending deliveries of each subscriber are counted.
    """
    statuses: dict[str, dict[str, Any]] = {name: {} for name in all_subscribers()}
    for row in (*_pending(now, most), *_dead_and_delivered(now, most), *_paused(alive, now), *_paused_by_operators()):
        statuses.setdefault(row["subscriber"], {}).update(row)
    return [_subscriber_status(name, fields, now) for name, fields in statuses.items()]


def broker_status(alive: Collection[int]) -> BrokerStatus:
    """
    Return the status of the broker in the settings, which is asked, and of the receivers.

    :param alive: the numbers of the live workers.
    """
    broker, lag, error = settings.TRANSPORT.broker, None, ""
    try:
        lag = lag_of(broker)
    except Exception as problem:  # noqa: BLE001  (whatever it is, the rest of the status is shown)
        error = str(problem)
    rows = ReceiverState.objects.with_state(alive).select_related("worker").order_by("pk")
    receivers = [_receiver_status(row) for row in rows]
    return BrokerStatus(
        address=broker.address, lag=lag, error=error, receives=bool(wanted_types()), receivers=receivers
    )


def age(seconds: float | None) -> str:
    """
    Return a duration in its largest whole unit, such as "12 min"; an empty text for None.
    """
    if seconds is None:
        return ""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length:.0f} {unit}"
    return f"{max(0, seconds):.0f} s"


def lag_of(broker: Broker) -> int | None:
    """
    Return how many messages wait at the broker for this service; None if it cannot tell.

    :raises Unavailable: if it is down, or does not answer within `LAG_SECONDS`.
    """
    answer: Future[int | None] = Future()

    def ask() -> None:
        transport = new_transport(broker)
        try:
            answer.set_result(transport.lag())
        except Exception as error:  # noqa: BLE001  (it is raised in the thread that waits)
            answer.set_exception(error)
        transport.close()

    Thread(target=ask, name="lag", daemon=True).start()
    try:
        return answer.result(LAG_SECONDS)
    except TimeoutError as error:
        raise Unavailable(f"The broker at {broker.address} does not answer within {LAG_SECONDS} s.") from error


def _subscriber_status(name: str, fields: Mapping[str, Any], now: datetime) -> SubscriberStatus:
    numbers = {field: value for field, value in fields.items() if field not in {"subscriber", "oldest"}}
    oldest = fields.get("oldest")
    return SubscriberStatus(name=name, oldest_due_seconds=(now - oldest).total_seconds() if oldest else None, **numbers)


def _pending(now: datetime, most: int) -> Iterator[Mapping[str, Any]]:
    at = adapt(now)
    parts = [(name, at, at, at, name, name, most + 1) for name in subscribers_with(IS_PENDING)]
    sql = " UNION ALL ".join([COUNT_PENDING] * len(parts)) or NOTHING
    for name, pending, due, claimed, retrying, oldest in _rows(sql, *chain.from_iterable(parts)):
        counts = {
            "due": min(due, most),
            "claimed": claimed,
            "retrying": retrying,
            "delayed": pending - due - claimed - retrying,
        }
        first = read_moment(oldest)
        oldest_due = {"oldest": first} if first and first <= now else {}
        yield {"subscriber": name, "has_more": pending > most, **counts, **oldest_due}


def _dead_and_delivered(now: datetime, most: int) -> Iterator[Mapping[str, Any]]:
    for subscriber, state, number in _rows(COUNT_DEAD_AND_DELIVERED, most + 1, adapt(now - MINUTE), MOST_DELIVERED):
        if state == "dead":
            yield {"subscriber": subscriber, "dead": min(number, most), "has_more_dead": number > most}
        else:
            yield {"subscriber": subscriber, "delivered_last_minute": number}


def _rows(sql: str, *parameters: Any) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return list(cursor.fetchall())


def _paused(alive: Collection[int], now: datetime) -> Iterable[Mapping[str, Any]]:
    pauses = SubscriberPause.objects.filter(worker__in=alive, until__gt=now)
    return pauses.values("subscriber").annotate(paused_until=Max("until"))


def _paused_by_operators() -> Iterable[Mapping[str, Any]]:
    return OperatorPause.objects.values("subscriber", "paused_by", "paused_at", pause_reason=F("reason"))


def _receiver_status(row: Any) -> ReceiverStatus:
    return ReceiverStatus(
        worker=row.worker_id,
        host=row.worker.host,
        process=row.worker.process,
        state=row.state,
        since=row.since,
        received_at=row.received_at,
        set_size=row.set_size,
        error=row.error,
        retry_at=row.retry_at,
    )


def _to_the_second(moment: datetime) -> str:
    return localtime(moment).strftime("%Y-%m-%d %H:%M:%S")
