"""
The description of the events that leave their service, in AsyncAPI 3.0.
"""

import re
from typing import Any

import msgspec
import yaml

from .cloud_events import schema_id
from .contracts import Event, event_types
from .transports.protocol import CONTENT_TYPE, RETENTION, SHARDS

Schema = dict[str, Any]

DESCRIPTION = (
    "The events that the services of a shop publish, as CloudEvents 1.0 in structured JSON. Events with the same "
    "`subject` are in order. An event may be delivered again: then it has the same `id`. Fields are added, never "
    "renamed or removed. A shop has one broker: the channel of its kind has all events."
)

PARAMETERS: Schema = {
    "prefix": {"default": "shop", "description": "TRANSPORT_PREFIX of the shop."},
    "shard": {
        "enum": [str(shard) for shard in range(SHARDS)],
        "description": f"CRC-32 of `subject` modulo {SHARDS}, so that events with the same `subject` have the same.",
    },
    "type": {"description": "The attribute `type` of the event.", "examples": ["orders.order_confirmed"]},
}
CHANNELS: dict[str, Schema] = {
    "rabbitmq": {
        "address": "{shard}.{type}",
        "description": (
            "A routing key of the exchange TRANSPORT_PREFIX.events, which the shop declares. Bind a queue of your own "
            "with `*.` and a type, such as `*.orders.order_confirmed`, to receive the events of that type."
        ),
        "bindings": {
            "amqp": {
                "is": "routingKey",
                "exchange": {"name": "shop.events", "type": "topic", "durable": True, "autoDelete": False},
                "bindingVersion": "0.3.0",
            }
        },
    },
    "redis": {
        "address": "{prefix}.events.{shard}",
        "description": (
            "A stream. Each entry has the fields `event`, which is the message, and `type`, which is its attribute "
            f"`type`. Read all streams, with a consumer group of your own. Entries are kept for {RETENTION.days} days."
        ),
    },
    "kafka": {
        "address": "{prefix}.events",
        "description": "A topic. Each record has the headers `type`, the attribute of the event, and `content-type`.",
        "bindings": {
            "kafka": {
                "partitions": SHARDS,
                "topicConfiguration": {"retention.ms": int(RETENTION.total_seconds() * 1000)},
                "bindingVersion": "0.5.0",
            }
        },
    },
}
PORTS = {"rabbitmq": ("amqp", 5672), "redis": ("redis", 6379), "kafka": ("kafka", 9092)}
"""The protocol and the port of the server of each channel."""

UUID_TEXT = {"type": "string", "format": "uuid"}
ATTRIBUTES: Schema = {
    "specversion": {"const": "1.0"},
    "id": UUID_TEXT | {"description": "The same in each repetition."},
    "source": {"type": "string", "description": "The service that published it (SERVICE_NAME)."},
    "type": {"type": "string"},
    "time": {"type": "string", "format": "date-time"},
    "datacontenttype": {"const": "application/json"},
    "dataschema": {"type": "string", "format": "uri"},
    "subject": {"type": "string", "description": "The key: the id of the object that the event is about."},
    "partitionkey": {"type": "string", "description": "The same as `subject`."},
    "correlationid": UUID_TEXT | {"description": "The first event of the chain of causes."},
    "causationid": UUID_TEXT | {"description": "The event that caused this one; absent if a request did."},
    "traceparent": {"type": "string", "description": "W3C trace context of the request that began it."},
    "eventversion": {"type": "integer"},
    "data": {"type": "object"},
}


def as_yaml() -> str:
    """
    Return the description of all events that are not internal.
    """
    return yaml.safe_dump(_document(), sort_keys=False, allow_unicode=True, width=120)


def _document() -> Schema:
    events = sorted((event for event in event_types().values() if not event.internal), key=lambda event: event.type)
    references, schemas = msgspec.json.schema_components(events, ref_template="#/components/schemas/{name}")
    envelope = {"type": "object", "required": sorted({*ATTRIBUTES} - {"causationid"}), "properties": ATTRIBUTES}
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Events of the shop", "version": "1.0.0", "description": DESCRIPTION},
        "defaultContentType": CONTENT_TYPE,
        "servers": {name: _server(*port) for name, port in PORTS.items()},
        "channels": {name: _channel(name, events) for name in CHANNELS},
        "operations": {
            f"publishTo{name.title()}": {"action": "send", "channel": {"$ref": f"#/channels/{name}"}}
            for name in CHANNELS
        },
        "components": {
            "parameters": PARAMETERS,
            "messages": {
                event.__name__: _message(event, reference) for event, reference in zip(events, references, strict=True)
            },
            "schemas": {"CloudEvent": envelope, **schemas},
        },
    }


def _server(protocol: str, port: int) -> Schema:
    host = {"default": f"127.0.0.1:{port}", "description": "The host and port of TRANSPORT_URL."}
    return {"host": "{host}", "protocol": protocol, "variables": {"host": host}}


def _channel(name: str, events: list[type[Event]]) -> Schema:
    messages = {event.__name__: {"$ref": f"#/components/messages/{event.__name__}"} for event in events}
    parameters = re.findall(r"{(\w+)}", CHANNELS[name]["address"])
    return {
        "servers": [{"$ref": f"#/servers/{name}"}],
        **CHANNELS[name],
        "parameters": {parameter: {"$ref": f"#/components/parameters/{parameter}"} for parameter in parameters},
        "messages": messages,
    }


def _message(event: type[Event], data: Schema) -> Schema:
    own = {
        "type": {"const": event.type},
        "dataschema": {"const": schema_id(event.type, event.version)},
        "eventversion": {"const": event.version},
        "data": data,
    }
    return {
        "name": event.type,
        "contentType": CONTENT_TYPE,
        "description": f"`subject` is the field `{event.keyed_by}` of the data.",
        "bindings": {"kafka": {"key": {"type": "string", "description": "`subject`"}, "bindingVersion": "0.5.0"}},
        "correlationId": {"location": "$message.payload#/correlationid"},
        "payload": {"allOf": [{"$ref": "#/components/schemas/CloudEvent"}, {"type": "object", "properties": own}]},
    }
