"""
Messages on the wire: CloudEvents 1.0, structured JSON.

A message of another publisher may lack our extensions: its id, its source and its data are enough.
"""

from datetime import UTC, datetime
from uuid import NAMESPACE_URL, UUID, uuid5

import msgspec
from django.utils import timezone

from .contracts import Undecodable, decode
from .kernel.ids import parse_id
from .kernel.tracing import is_traceparent, new_traceparent
from .models import OutboxMessage

JSON = "application/json"
MAX_KEY = 100


class CloudEvent(msgspec.Struct, frozen=True, kw_only=True):
    """
    The attributes of CloudEvents 1.0, the extensions for distributed tracing and partitioning, and three of our own:
    `correlationid`, `causationid` and `eventversion`.
    """

    specversion: str
    id: str
    source: str
    type: str
    time: datetime | msgspec.UnsetType = msgspec.UNSET
    datacontenttype: str = JSON
    dataschema: str = ""
    subject: str = ""
    partitionkey: str = ""
    correlationid: str = ""
    causationid: str | msgspec.UnsetType = msgspec.UNSET
    traceparent: str = ""
    eventversion: int = 1
    data: msgspec.Raw = msgspec.Raw()


def schema_id(type_: str, version: int) -> str:
    """
    Return the URI of an event's schema, which `docs/asyncapi.yaml` contains.
    """
    return f"urn:shop:event:{type_}:{version}"


def encode_cloud_event(message: OutboxMessage, *, source: str) -> bytes:
    """
    Return a message as it is sent.

    :param source: the name of the service that published it.
    """
    return msgspec.json.encode(
        CloudEvent(
            specversion="1.0",
            id=str(message.pk),
            source=source,
            type=message.type,
            time=message.published_at,
            dataschema=schema_id(message.type, message.version),
            subject=message.key,
            partitionkey=message.key,
            correlationid=str(message.correlation_id),
            causationid=str(message.causation_id) if message.causation_id else msgspec.UNSET,
            traceparent=message.traceparent,
            eventversion=message.version,
            data=msgspec.Raw(message.payload.encode()),
        )
    )


def decode_cloud_event(body: bytes) -> OutboxMessage:
    """
    Return a received message, which is not saved. Its key is that of its event.

    :raises Undecodable: if it is no CloudEvent, or no contract describes its type and data.
    """
    envelope = open_envelope(body)
    payload = _compact(envelope.data)
    event = decode(envelope.type, payload)
    id_ = _message_id(envelope)
    return OutboxMessage(
        id=id_,
        type=envelope.type,
        version=event.version,
        key=storable_key(event.key),
        payload=payload,
        correlation_id=parse_id(envelope.correlationid) or id_,
        causation_id=parse_id(envelope.causationid) if envelope.causationid else None,
        traceparent=envelope.traceparent if is_traceparent(envelope.traceparent) else new_traceparent(id_.hex),
        published_at=_moment(envelope),
    )


def open_envelope(body: bytes) -> CloudEvent:
    """
    Return the attributes of a CloudEvent, with its data as JSON.

    :raises Undecodable: if it is none, or its data is not JSON.
    """
    try:
        envelope = msgspec.json.decode(body.decode(), type=CloudEvent)
    except (ValueError, RecursionError) as error:
        raise Undecodable(f"Not a CloudEvent in JSON: {error}") from error
    if not envelope.specversion.startswith("1."):
        raise Undecodable(f"CloudEvents {envelope.specversion!r} is not version 1.")
    if not envelope.data or envelope.datacontenttype.partition(";")[0].strip() != JSON:
        raise Undecodable(f"{envelope.type}: the data is {envelope.datacontenttype!r}, not JSON.")
    return envelope


def storable_key(key: str) -> str:
    """
    Return the key of a message.

    :raises Undecodable: if the database could not store it.
    """
    if len(key) > MAX_KEY or not key.isprintable():
        raise Undecodable(f"The key {key[:MAX_KEY]!r} has more than {MAX_KEY} characters, or control characters.")
    return key


def _message_id(envelope: CloudEvent) -> UUID:
    return parse_id(envelope.id) or uuid5(NAMESPACE_URL, f"{envelope.source} {envelope.id}")


def _compact(data: msgspec.Raw) -> str:
    """
    Return JSON without whitespace, as `erasure` expects it.

    :raises Undecodable: if it nests too deeply, or a number in it is too large.
    """
    try:
        return msgspec.json.encode(msgspec.json.decode(data)).decode()
    except (ValueError, OverflowError, RecursionError) as error:
        raise Undecodable(f"The data is not valid JSON: {error}") from error


def _moment(envelope: CloudEvent) -> datetime:
    """
    Return the time of publication, now if it is missing.

    :raises Undecodable: if the database could not store it.
    """
    try:
        return (envelope.time or timezone.now()).astimezone(UTC)
    except OverflowError as error:
        raise Undecodable(f"The time {envelope.time} is out of range.") from error
