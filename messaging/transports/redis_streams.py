"""
Events over Redis Streams: a stream per shard, a consumer group per service.

A receiver holds a lease on each stream that it reads, so that one receiver of a service reads a stream at a time. All
receivers of a service are one consumer: entries that a dead one left unsettled are the first that its successor reads.
Redis keeps entries in memory: they survive its restart only with an append-only file.
"""

import logging
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, LockError, NoPermissionError, RedisError, ResponseError
from redis.lock import Lock
from redis.retry import Retry

from messaging.subscribers import PartlyUnavailable, Unavailable

from .protocol import (
    CONNECT_SECONDS,
    RETENTION,
    SEND_SECONDS,
    SET_SIZE,
    SHARDS,
    Broker,
    Outgoing,
    Received,
    is_received,
    shard_of,
)

logger = logging.getLogger(__name__)

LEASE_SECONDS = 5
RENEW_SECONDS = LEASE_SECONDS / 4
CONSUMER = "receiver"


class RedisTransport:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._streams = [f"{broker.prefix}.events.{shard}" for shard in range(SHARDS)]
        self._types: Collection[str] = ()
        self._leases: dict[str, Lock] = {}
        self._next: dict[str, str] = {}
        """By stream: the id after which unsettled entries are read again, or ">" for new entries."""
        self._renew_at = 0.0
        # Redis's own default repeats a command ten times: a set whose reply was lost would be written twice.
        self._redis: Any = redis.Redis.from_url(
            broker.url,
            retry=Retry(NoBackoff(), 0),
            socket_connect_timeout=CONNECT_SECONDS,
            socket_timeout=SEND_SECONDS,
            decode_responses=False,
        )

    def connect(self, types: Collection[str] = ()) -> None:
        with self._raising_unavailable():
            self._warn_if_not_durable(self._redis.info())
            self._types = types
            for stream in self._streams if types else ():
                self._create_group(stream)

    def send(self, messages: Sequence[Outgoing]) -> None:
        with self._raising_unavailable():
            oldest = int((time.time() - RETENTION.total_seconds()) * 1000)
            pipeline = self._redis.pipeline(transaction=False)
            for message in messages:
                fields = {"type": message.type, "event": message.body}
                pipeline.xadd(self._streams[shard_of(message.key)], fields, minid=oldest)
            results = pipeline.execute(raise_on_error=False)
        failed = {
            message.key: result
            for message, result in zip(messages, results, strict=True)
            if isinstance(result, Exception)
        }
        if failed:
            raise PartlyUnavailable(self._describe(next(iter(failed.values()))), keys=failed)

    def receive(self, *, timeout: float) -> Sequence[Received]:
        with self._raising_unavailable():
            self._hold_leases()
            if not self._leases:
                time.sleep(min(timeout, 1))
                return []
            return [entry for stream in self._read(timeout) for entry in self._wanted(*stream)]

    def settle(self, received: Sequence[Received]) -> None:
        with self._raising_unavailable():
            ids: dict[bytes, list[bytes]] = {}
            for _, (stream, id_) in received:
                ids.setdefault(stream, []).append(id_)
            pipeline = self._redis.pipeline(transaction=False)
            for stream, settled in ids.items():
                pipeline.xack(stream, self._broker.service, *settled)
            pipeline.execute()

    def lag(self) -> int | None:
        with self._raising_unavailable():
            waiting = [self._lag_of(stream) for stream in self._streams if self._redis.exists(stream)]
        known = [number for number in waiting if number is not None]
        return sum(known) if len(known) == len(waiting) else None

    def close(self) -> None:
        with suppress(RedisError, OSError):
            for lease in self._leases.values():
                with suppress(LockError):
                    lease.release()
        self._leases.clear()
        self._redis.close()

    def _lag_of(self, stream: str) -> int | None:
        """
        Return how many entries are new or unsettled; None from Redis 6, or if entries were deleted by hand.
        """
        for group in self._redis.xinfo_groups(stream):
            if group["name"].decode() == self._broker.service:
                new = group.get("lag")
                return None if new is None else new + group["pending"]
        return int(self._redis.xlen(stream))

    def _create_group(self, stream: str) -> None:
        try:
            self._redis.xgroup_create(stream, self._broker.service, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    def _hold_leases(self) -> None:
        """
        Renew the leases, and take those that are free.
        """
        if time.monotonic() < self._renew_at:
            return
        self._renew_at = time.monotonic() + RENEW_SECONDS
        for stream in self._streams:
            if not self._renew(stream):
                self._take(stream)

    def _renew(self, stream: str) -> bool:
        try:
            return stream in self._leases and bool(self._leases[stream].reacquire())
        except LockError:
            del self._leases[stream]
            return False

    def _take(self, stream: str) -> None:
        name = f"{stream}.{self._broker.service}.lease"
        lease = self._redis.lock(name, timeout=LEASE_SECONDS, thread_local=False)
        if lease.acquire(blocking=False):
            self._leases[stream], self._next[stream] = lease, "0"

    def _read(self, timeout: float) -> Sequence[tuple[bytes, Sequence[tuple[bytes, dict[bytes, bytes] | None]]]]:
        """
        Return entries by stream: first all that were received before and not settled, then new ones.
        """
        unsettled = {stream: id_ for stream, id_ in self._next.items() if stream in self._leases and id_ != ">"}
        streams = unsettled or dict.fromkeys(self._leases, ">")
        block = None if unsettled else max(1, int(min(timeout, RENEW_SECONDS) * 1000))
        limit = max(1, SET_SIZE // len(streams))
        found = self._redis.xreadgroup(self._broker.service, CONSUMER, streams, count=limit, block=block) or []
        for stream, entries in found:
            if stream.decode() in unsettled:
                self._next[stream.decode()] = entries[-1][0].decode() if entries else ">"
        return list(found)

    def _wanted(self, stream: bytes, entries: Sequence[tuple[bytes, dict[bytes, bytes] | None]]) -> Iterator[Received]:
        """
        Yield the entries whose type is received here, and settle the others, such as those that Redis has trimmed.
        """
        unwanted = []
        for id_, fields in entries:
            if fields and is_received(fields.get(b"type", b"").decode(errors="replace"), self._types):
                yield Received(fields.get(b"event", b""), (stream, id_))
            else:
                unwanted.append(id_)
        if unwanted:
            self._redis.xack(stream, self._broker.service, *unwanted)

    def _warn_if_not_durable(self, info: dict[str, Any]) -> None:
        if not info.get("aof_enabled"):
            logger.warning(
                "Redis at %s loses events when it restarts: set `appendonly yes` there.", self._broker.address
            )
        if info.get("maxmemory_policy", "noeviction").startswith("allkeys"):
            logger.warning("Redis at %s may evict events: set `maxmemory-policy noeviction`.", self._broker.address)

    @contextmanager
    def _raising_unavailable(self) -> Iterator[None]:
        try:
            yield
        except (RedisError, OSError) as error:
            raise Unavailable(self._describe(error)) from error

    def _describe(self, error: Exception) -> str:
        if isinstance(error, AuthenticationError | NoPermissionError):
            return f"Redis at {self._broker.address} rejects the user or password in TRANSPORT_URL: {error}"
        return f"Redis at {self._broker.address} is not available: {error!r}"
