"""
Events between services, in the copy of their databases: the publisher's database has the message, and that of a
receiver has not. The checks allow for deliveries that are pending or dead, so these deliveries are added to the copy.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from django.db import connections

from messaging.claims import lease
from messaging.contracts import event_types
from messaging.inbox import RECEIVE
from messaging.kernel.databases import read_uuid
from messaging.kernel.ids import parse_id
from messaging.models import Delivery
from messaging.sending import TRANSPORT
from shop.operations.databases import all_aliases, subscribers_elsewhere
from shop.settings.storage import TEMPORARY_ALIAS

from .checks import LATE_AFTER, retained_since

IDS_AT_ONCE = 500

CREATE_UNDECODED = "CREATE TABLE undecoded (message_id char(32), alias text, status text)"

RECEIVED_ONLY = """
    SELECT id FROM messaging_outboxmessage AS message WHERE published_at >= %s AND type IN ({types}) AND NOT EXISTS (
        SELECT 1 FROM messaging_delivery WHERE message_id = message.id AND subscriber = '{transport}'
    )
"""

ADD_DELIVERIES = """
    INSERT INTO messaging_delivery (
        id, message_id, subscriber, key, status, due_at, delayed, suspect, attempts, deferrals, error_class,
        fingerprint, claim_token, delivered_at, failed_at, resolution
    )
    WITH elsewhere (type, subscriber, alias) AS (VALUES {elsewhere}),
    first AS (
        SELECT type, subscriber, published_at AS since, min(delivery.id)
        FROM messaging_delivery AS delivery JOIN messaging_outboxmessage AS message ON message.id = message_id
        GROUP BY type, subscriber
    ),
    working AS (
        SELECT DISTINCT alias FROM elsewhere JOIN messaging_delivery USING (subscriber)
        WHERE delivered_at >= %(lease_ago)s
    )
    SELECT
        (SELECT max(id) FROM messaging_delivery) + row_number() OVER (ORDER BY sent.id), message.id,
        elsewhere.subscriber, message.key, coalesce(
            undecoded.status, nullif(sent.status, 'delivered'), iif(sent.delivered_at >= %(late)s, 'pending', 'lost')
        ),
        CASE WHEN sent.status = 'delivered' AND elsewhere.alias NOT IN working THEN sent.delivered_at
        ELSE max(sent.due_at, %(now)s) END,
        sent.delayed, 0, 0, 0, '', '', NULL, NULL, NULL, NULL
    FROM elsewhere
    JOIN messaging_outboxmessage AS message ON message.type = elsewhere.type
    JOIN messaging_delivery AS sent ON sent.message_id = message.id AND sent.subscriber = '{transport}'
    LEFT JOIN first ON first.type = elsewhere.type AND first.subscriber = elsewhere.subscriber
    LEFT JOIN undecoded ON undecoded.message_id = message.id AND undecoded.alias = elsewhere.alias
    WHERE message.published_at >= %(retained_since)s
    AND (undecoded.status IS NOT NULL OR sent.status <> 'delivered' OR published_at >= coalesce(since, published_at))
    AND NOT EXISTS (
        SELECT 1 FROM messaging_delivery AS stored
        JOIN elsewhere AS neighbour ON neighbour.subscriber = stored.subscriber AND neighbour.type = message.type
        WHERE stored.message_id = message.id AND neighbour.alias = elsewhere.alias
    )
"""
"""
What is still to be sent is pending, dead or discarded as the delivery of the transport is. What the broker has accepted
is pending for an hour, and overdue after a lease unless its service delivers other events; then it is lost, a status
that M2 reports. A subscriber counts from its first message of a type, as in M2; but one that has none counts, because
its service may never have asked the broker for the type.
"""


class _About(msgspec.Struct):
    id: str = ""


def create_tables() -> None:
    """
    Create the table of messages that services could not decode.
    """
    with connections[TEMPORARY_ALIAS].cursor() as cursor:
        cursor.execute(CREATE_UNDECODED)


def copy_undecoded(alias: str) -> None:
    """
    Copy which messages a service has received and could not decode, with the status of their deliveries.
    """
    deliveries = Delivery.objects.using(alias).filter(subscriber=RECEIVE).exclude(status=Delivery.Status.DELIVERED)
    rows = [
        (_id_of(payload), alias, status) for payload, status in deliveries.values_list("message__payload", "status")
    ]
    with connections[TEMPORARY_ALIAS].cursor() as cursor:
        cursor.executemany("INSERT INTO undecoded VALUES (%s, %s, %s)", rows)


def add_deliveries(now: datetime) -> None:
    """
    Add the deliveries of messages that services have not received.
    """
    elsewhere = [
        (event.type, subscriber, alias)
        for event in event_types().values()
        for subscriber, alias in subscribers_elsewhere(event)
    ]
    moments = {"now": now, "lease_ago": now - lease(), "late": now - LATE_AFTER, "retained_since": retained_since(now)}
    copy = connections[TEMPORARY_ALIAS]
    with copy.cursor() as cursor:
        cursor.execute(
            ADD_DELIVERIES.format(elsewhere=", ".join(map(str, elsewhere)), transport=TRANSPORT),
            {name: copy.ops.adapt_datetimefield_value(moment) for name, moment in moments.items()},
        )


def has_been_published_since(now: datetime) -> bool:
    """
    Return whether a message of the copy that was only received has been published by now: then its publisher was read
    before, and its receiver afterwards.
    """
    received_only = _received_only(now)
    return any(
        Delivery.objects.using(alias).filter(subscriber=TRANSPORT, message_id__in=ids).exists()
        for start in range(0, len(received_only), IDS_AT_ONCE)
        for ids in [received_only[start : start + IDS_AT_ONCE]]
        for alias in all_aliases()
    )


def _received_only(now: datetime) -> Sequence[UUID]:
    """
    Return the recent messages in the copy that a service publishes for others, without the publisher's delivery.
    """
    copy = connections[TEMPORARY_ALIAS]
    types = ", ".join(f"'{event.type}'" for event in event_types().values() if not event.internal)
    with copy.cursor() as cursor:
        cursor.execute(
            RECEIVED_ONLY.format(types=types, transport=TRANSPORT),
            [copy.ops.adapt_datetimefield_value(now - LATE_AFTER)],
        )
        return [read_uuid(id_) for (id_,) in cursor.fetchall()]


def _id_of(payload: str) -> str:
    """
    Return the id of a CloudEvent as SQLite stores it; an empty text if it has none that ours may have.
    """
    try:
        id_ = parse_id(msgspec.json.decode(payload, type=_About).id)
    except (ValueError, RecursionError):
        return ""
    return id_.hex if id_ else ""
