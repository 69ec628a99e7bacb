import json
from copy import deepcopy

import pytest
import yaml
from django.conf import settings
from jsonschema import Draft202012Validator, ValidationError

from messaging.asyncapi import as_yaml
from messaging.cloud_events import encode_cloud_event
from messaging.contracts import event_types
from messaging.kernel.ids import new_id
from messaging.models import OutboxMessage
from tests.architecture.test_published_language import PINNED
from tests.commands import run

DOCUMENT = yaml.safe_load(as_yaml())
LEAVING = {type_: event for type_, event in event_types().items() if not event.internal}


def sent(type_: str) -> dict[str, object]:
    """Return the pinned example of an event as it is sent."""
    pinned, id_ = PINNED[type_], new_id()
    message = OutboxMessage(
        id=id_,
        type=type_,
        version=pinned["version"],
        key=pinned["key"],
        payload=json.dumps(pinned["payload"]),
        correlation_id=id_,
        traceparent="",
        published_at="2026-01-01T12:00:00Z",
    )
    return json.loads(encode_cloud_event(message, source="shop"))


def validator(type_: str) -> Draft202012Validator:
    message = DOCUMENT["components"]["messages"][LEAVING[type_].__name__]
    return Draft202012Validator(message["payload"] | {"components": DOCUMENT["components"]})


class TestDocument:
    def test_is_the_one_in_docs(self):
        assert (settings.BASE_DIR / "docs/asyncapi.yaml").read_text(encoding="utf-8") == as_yaml(), "Run `make schema`."

    def test_describes_every_event_that_leaves(self):
        messages = DOCUMENT["components"]["messages"]

        assert {name: message["name"] for name, message in messages.items()} == {
            event.__name__: type_ for type_, event in LEAVING.items()
        }
        channels = DOCUMENT["channels"]
        assert {name: channel["messages"].keys() for name, channel in channels.items()} == dict.fromkeys(
            ("rabbitmq", "redis", "kafka"), messages.keys()
        )

    @pytest.mark.parametrize("type_", LEAVING)
    def test_accepts_the_event_as_it_is_sent(self, type_):
        validator(type_).validate(sent(type_))

    @pytest.mark.parametrize("type_", LEAVING)
    def test_rejects_it_without_its_key_or_as_another_type(self, type_):
        event = sent(type_)
        keyless = deepcopy(event)
        del keyless["data"][LEAVING[type_].keyed_by]

        for wrong in (keyless, event | {"type": "orders.order_shipped"}, event | {"id": 7}):
            with pytest.raises(ValidationError):
                validator(type_).validate(wrong)


def test_page_for_consumers_shows_an_event_as_it_is_sent():
    page = (settings.BASE_DIR / "docs/how-to/consume-events.md").read_text(encoding="utf-8")
    example, confirmed = json.loads(page.split("```json")[1].split("```")[0]), sent("orders.order_confirmed")

    validator("orders.order_confirmed").validate(example)
    assert example.keys() == confirmed.keys() | {"causationid"}
    assert example["data"] == confirmed["data"]


def test_command_writes_the_document(tmp_path):
    run("export_asyncapi", f"--file={tmp_path / 'asyncapi.yaml'}")

    assert (tmp_path / "asyncapi.yaml").read_text(encoding="utf-8") == as_yaml()
