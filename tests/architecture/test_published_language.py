"""
The published language keeps its stored form: event types, payloads, publishers and subscribers.

`published_language.json` pins each event as it is stored in messages. A field may be added there, with a default in the
contract; any other change that fails these tests would make stored messages undecodable.
"""

import ast
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings

from messaging.contracts import decode, encode, event_types
from messaging.subscribers import all_subscribers, subscribers_of

PINNED = json.loads(Path(__file__).with_name("published_language.json").read_text(encoding="utf-8"))
ORDER = {"customer_id": "", "email": ""}
CONTACT = {"number": "", "phone": "", "language": ""}
WITH_CUSTOMER = [type_ for type_, event in PINNED.items() if {"customer_id", "order_id"} <= event["payload"].keys()]
PUBLISHERS = {
    "messaging": "messaging",
    "orders": "orders",
    "inventory": "inventory",
    "payments": "payments",
    "notifications": "notifications",
    "accounts": "shop/accounts",
}
"""The first part of the types of their events, and their folder."""
TYPES_BY_NAME = {event.__name__: type_ for type_, event in event_types().items()}


def published_in(source: str) -> Iterator[str]:
    """
    Return the types of the events that this source creates, under any name by which it imports them.
    """
    nodes = list(ast.walk(ast.parse(source)))
    imported = [node for node in nodes if isinstance(node, ast.ImportFrom) and node.module == "messaging.contracts"]
    names = {alias.asname or alias.name: alias.name for node in imported for alias in node.names}
    for node in nodes:
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func).split(".")[-1]
            if names.get(called, called) in TYPES_BY_NAME:
                yield TYPES_BY_NAME[names.get(called, called)]


class TestEvents:
    def test_are_those_that_are_pinned(self):
        assert sorted(PINNED) == sorted(event_types())

    @pytest.mark.parametrize("type_", PINNED)
    def test_decode_and_encode_as_pinned(self, type_):
        pinned = PINNED[type_]

        event = decode(type_, json.dumps(pinned["payload"]))

        assert json.loads(encode(event)) == pinned["payload"]
        assert (event.version, event.key) == (pinned["version"], pinned["key"])

    @pytest.mark.parametrize("type_", WITH_CUSTOMER)
    def test_of_older_releases_decode_without_a_customer(self, type_):
        payload = dict(PINNED[type_]["payload"])
        del payload["customer_id"]

        assert decode(type_, json.dumps(payload)).customer_id == ""

    @pytest.mark.parametrize(
        ("type_", "added"),
        [
            ("orders.order_placed", ORDER | CONTACT | {"total": 0, "currency": "", "bought": ()}),
            ("orders.payment_requested", CONTACT),
            ("orders.payment_due_soon", CONTACT | {"lines": (), "due_at": ""}),
            ("orders.order_confirmed", CONTACT),
            ("orders.order_cancelled", CONTACT | {"lines": ()}),
            ("payments.payment_failed", {"detail": ""}),
            ("payments.payment_refunded", CONTACT | {"order_total": 0, "refunded": 0, "cause": ""}),
            ("payments.payment_refunded", {"reason": "", "surplus": False}),
            ("payments.payment_anomaly_found", {"number": ""}),
        ],
    )
    def test_of_older_releases_decode_with_defaults(self, type_, added):
        payload = {name: value for name, value in PINNED[type_]["payload"].items() if name not in added}

        event = decode(type_, json.dumps(payload))

        assert {name: getattr(event, name) for name in added} == added

    def test_stay_in_their_context_where_that_is_pinned(self):
        internal = {type_ for type_, event in event_types().items() if event.internal}

        assert internal == {type_ for type_, pinned in PINNED.items() if pinned.get("internal")}

    def test_are_internal_if_no_other_context_subscribes(self):
        for type_, event in event_types().items():
            contexts = {subscriber.name.partition(".")[0] for subscriber in subscribers_of(event)}
            assert event.internal == (contexts == {type_.partition(".")[0]})

    @pytest.mark.parametrize("type_", PINNED)
    def test_have_subscribers(self, type_):
        assert subscribers_of(event_types()[type_])

    def test_are_named_by_their_context_and_class(self):
        for type_, event in event_types().items():
            context, _, name = type_.partition(".")
            assert context in PUBLISHERS
            assert name.replace("_", "") == event.__name__.lower()


class TestPublishers:
    @pytest.mark.parametrize("context", PUBLISHERS)
    def test_publish_only_events_of_their_own(self, context):
        sources = (settings.BASE_DIR / PUBLISHERS[context]).rglob("*.py")

        published = {type_ for source in sources for type_ in published_in(source.read_text(encoding="utf-8"))}

        assert published == {type_ for type_ in PINNED if type_.startswith(f"{context}.")}

    @pytest.mark.parametrize(
        "source",
        [
            "from messaging.contracts import StockReserved\npublish(StockReserved(order_id='order-1'))",
            "from messaging.contracts import StockReserved as Kept\nevents = [Kept(order_id=id_) for id_ in ids]",
            "from messaging import contracts\npublish(contracts.StockReserved(order_id='order-1'))",
        ],
    )
    def test_are_detected_however_they_import(self, source):
        assert list(published_in(source)) == ["inventory.stock_reserved"]


class TestSubscribers:
    def test_keep_their_stored_names(self):
        subscribed = {
            name: ([event.__name__ for event in subscriber.events], "inside" if subscriber.transactional else "outside")
            for name, subscriber in all_subscribers().items()
        }

        assert subscribed == {
            "orders.request_payment": (["StockReserved"], "inside"),
            "orders.cancel_out_of_stock": (["StockRejected"], "inside"),
            "orders.confirm_order": (["PaymentSucceeded"], "inside"),
            "orders.cancel_unpaid": (["PaymentFailed"], "inside"),
            "orders.record_refund": (["PaymentRefunded"], "inside"),
            "orders.show_availability": (["StockDepleted", "StockReplenished", "StockRunningLow"], "inside"),
            "inventory.open_stock_item": (["ProductAdded"], "inside"),
            "inventory.reserve_stock": (["OrderPlaced"], "inside"),
            "inventory.commit_reservation": (["OrderConfirmed"], "inside"),
            "inventory.release_stock": (["OrderCancelled"], "inside"),
            "inventory.erase_messages": (["ContactDataErased"], "inside"),
            "payments.take_payment": (["PaymentRequested"], "outside"),
            "payments.ask_again": (["PaymentUnsettled"], "outside"),
            "payments.settle_overdue": (["PaymentOverdue"], "outside"),
            "payments.stop_payment": (["OrderCancelled"], "inside"),
            "payments.send_refund": (["RefundRequested"], "outside"),
            "payments.settle_webhook": (["WebhookReceived"], "outside"),
            "payments.erase_contact_data": (["ContactDataErased"], "inside"),
            "notifications.acknowledge_order": (["OrderPlaced"], "inside"),
            "notifications.send_confirmation": (["OrderConfirmed"], "inside"),
            "notifications.send_cancellation": (["OrderCancelled"], "inside"),
            "notifications.send_reminder": (["PaymentDueSoon"], "inside"),
            "notifications.send_refund_notice": (["PaymentRefunded"], "inside"),
            "notifications.send_reset_link": (["PasswordResetRequested"], "inside"),
            "notifications.confirm_password_change": (["PasswordChanged"], "inside"),
            "notifications.send_sign_up_link": (["SignUpRequested"], "inside"),
            "notifications.remind_of_account": (["SignUpRepeated"], "inside"),
            "notifications.alert_operator": (["PaymentAnomalyFound"], "inside"),
            "notifications.alert_of_dead_letter": (["DeliveryDied"], "inside"),
            "notifications.erase_contact_data": (["ContactDataErased"], "inside"),
            "notifications.erase_preferences": (["CustomerErased"], "inside"),
            "notifications.send_email": (["EmailQueued"], "outside"),
            "notifications.send_sms": (["SmsQueued"], "outside"),
        }
