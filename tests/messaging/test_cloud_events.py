import json
from datetime import UTC, datetime
from uuid import NAMESPACE_URL, UUID, uuid5

import pytest
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given, settings
from hypothesis import strategies as some

from messaging.cloud_events import decode_cloud_event, encode_cloud_event
from messaging.contracts import StockRejected, Undecodable, encode
from messaging.models import OutboxMessage

ID, CORRELATION, CAUSE, ORDER = (UUID(int=number) for number in (1, 2, 3, 4))
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
MOMENT = datetime(2026, 1, 31, 12, 30, tzinfo=UTC)
REJECTED = StockRejected(order_id=str(ORDER), missing=("RED-CHAIR",))
MESSAGE = OutboxMessage(
    id=ID,
    type=REJECTED.type,
    version=1,
    key=REJECTED.key,
    payload=encode(REJECTED),
    correlation_id=CORRELATION,
    causation_id=CAUSE,
    traceparent=TRACE,
    published_at=MOMENT,
)
MINIMAL = {"specversion": "1.0", "id": "7", "source": "partner", "type": REJECTED.type, "data": {"order_id": "17"}}
MINIMAL["data"]["missing"] = []


def fields(message: OutboxMessage) -> dict[str, object]:
    return {field.attname: getattr(message, field.attname) for field in OutboxMessage._meta.concrete_fields}


def read(**changes: object) -> OutboxMessage:
    return decode_cloud_event(json.dumps(MINIMAL | changes).encode())


class TestEncodeCloudEvent:
    def test_is_read_by_the_sdk_of_cloudevents(self):
        event = JSONFormat().read(CloudEvent, encode_cloud_event(MESSAGE, source="inventory"))

        assert event.get_attributes() == {
            "specversion": "1.0",
            "id": str(ID),
            "source": "inventory",
            "type": "inventory.stock_rejected",
            "time": MOMENT,
            "datacontenttype": "application/json",
            "dataschema": "urn:shop:event:inventory.stock_rejected:1",
            "subject": str(ORDER),
            "partitionkey": str(ORDER),
            "correlationid": str(CORRELATION),
            "causationid": str(CAUSE),
            "traceparent": TRACE,
            "eventversion": 1,
        }
        assert event.get_data() == {"order_id": str(ORDER), "missing": ["RED-CHAIR"]}

    def test_has_no_cause_if_a_request_published_it(self):
        first = OutboxMessage(**fields(MESSAGE) | {"causation_id": None})

        assert "causationid" not in json.loads(encode_cloud_event(first, source="inventory"))


class TestDecodeCloudEvent:
    def test_returns_the_message_that_was_sent(self):
        message = decode_cloud_event(encode_cloud_event(MESSAGE, source="inventory"))

        assert fields(message) == fields(MESSAGE)

    def test_reads_an_event_of_the_sdk(self):
        attributes = {"id": str(ID), "source": "/warehouse", "type": REJECTED.type, "specversion": "1.0"}
        event = CloudEvent(attributes | {"datacontenttype": "application/json"}, {"order_id": "17", "missing": []})

        message = decode_cloud_event(JSONFormat().write(event))

        assert (message.pk, message.key, message.payload) == (ID, "17", '{"order_id":"17","missing":[]}')

    def test_completes_what_another_publisher_leaves_out(self):
        message = read()

        assert message.pk == uuid5(NAMESPACE_URL, "partner 7") == message.correlation_id
        assert message.traceparent == f"00-{message.pk.hex}-{message.pk.hex[16:]}-00"
        assert (message.version, message.key, message.causation_id) == (1, "17", None)

    def test_keeps_fields_of_a_newer_publisher(self):
        message = read(data={"order_id": "17", "missing": [], "since": 1.5, "reserve": None})

        assert message.payload == '{"order_id":"17","missing":[],"since":1.5,"reserve":null}'

    @pytest.mark.parametrize(
        ("changes", "error"),
        [
            ({"specversion": "2.0"}, "CloudEvents '2.0' is not version 1."),
            ({"type": "orders.order_shipped"}, "No contract describes 'orders.order_shipped'"),
            ({"data": {"order_id": 17}}, r"inventory.stock_rejected: Expected `str`, got `int`"),
            ({"data": 10**400}, "Number out of range"),
            ({"datacontenttype": "text/xml"}, "the data is 'text/xml', not JSON"),
            ({"data": {"order_id": "x" * 101, "missing": []}}, "has more than 100 characters"),
            ({"data": {"order_id": "\0", "missing": []}}, "control characters"),
            ({"time": "0001-01-01T00:00:00+14:00"}, "The time .* is out of range"),
            ({"time": "yesterday"}, "Invalid RFC3339"),
        ],
    )
    def test_rejects_what_it_could_not_store_or_deliver(self, changes, error):
        with pytest.raises(Undecodable, match=error):
            read(**changes)

    @pytest.mark.parametrize(
        "body", [b"", b"\xff\xfe", b"[]", b"{}", b"[" * 100_000, b'{"specversion":"1.0","id":"\xff"}', b"\0"]
    )
    def test_rejects_what_is_no_event(self, body):
        with pytest.raises(Undecodable, match="Not a CloudEvent in JSON"):
            decode_cloud_event(body)

    @settings(deadline=None)
    @given(some.recursive(some.none() | some.booleans() | some.floats() | some.integers() | some.text(), some.lists))
    def test_raises_no_other_error_whatever_the_data(self, data):
        for text in (json.dumps(data), json.dumps(data, ensure_ascii=False)):
            body = json.dumps(MINIMAL | {"data": 0}).replace('"data": 0', f'"data": {text}')
            with pytest.raises(Undecodable):
                decode_cloud_event(body.encode("utf-8", "surrogatepass"))
