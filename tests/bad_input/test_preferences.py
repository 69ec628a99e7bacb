"""
Rows 81 to 83: invalid choices of notifications.
"""

import json
from dataclasses import replace

from tests.bad_input.rows import one_of, rows
from tests.refusals import assert_fault, refused

PREFERENCES = "/api/v1/notification-preferences/"
VALID = {"kind": "payment_due_soon", "channel": "email", "is_on": False}


def body(preferences: object) -> bytes:
    return json.dumps({"preferences": preferences}).encode()


def choice(**changes: object) -> dict[str, object]:
    return {"kind": "order_received", "channel": "sms", "is_on": True} | changes


def without(name: str) -> dict[str, object]:
    return {key: value for key, value in choice().items() if key != name}


@rows(
    "name, value, code",
    (81, "kind", one_of("payment_anomaly", "ORDER_RECEIVED", "", 5, None, []), "invalid_preferences"),
    (81, "channel", one_of("pigeon", "", True, None), "invalid_preferences"),
    (81, "is_on", one_of("yes", "true", 1, 0, None, [], {}), "invalid_preferences"),
    (81, "title", "Hello", "unknown_field"),
)
def test_rejects(api, name, value, code):
    problem = refused(api, "PATCH", PREFERENCES, body([VALID, choice(**{name: value})]))

    assert_fault(problem, code, f"#/preferences/1/{name}")


@rows("name", (81, one_of("kind", "channel", "is_on")))
def test_rejects_without(api, name):
    problem = refused(api, "PATCH", PREFERENCES, body([VALID, without(name)]))

    assert_fault(problem, "invalid_preferences", f"#/preferences/1/{name}")


@rows("value", (81, one_of("order_received", {}, None, 5)), (81, [VALID, VALID | {"is_on": True}]))
def test_rejects_as_a_list(api, value):
    assert_fault(refused(api, "PATCH", PREFERENCES, body(value)), "invalid_preferences", "#/preferences")


@rows(
    "kind",
    (82, one_of("order_confirmed", "out_of_stock", "payment_failed", "order_expired", "order_cancelled")),
    (82, "payment_refunded"),
)
def test_rejects_to_switch_off(api, kind):
    required = {"kind": kind, "channel": "email", "is_on": False}

    problem = refused(api, "PATCH", PREFERENCES, body([VALID, required]))

    assert_fault(problem, "required_notification", "#/preferences/1/is_on")


def test_row_83_rejects_sms_if_the_shop_sends_none(api, settings):
    settings.NOTIFICATIONS = replace(settings.NOTIFICATIONS, sms_backend="")

    problem = refused(api, "PATCH", PREFERENCES, body([VALID, choice()]))

    assert_fault(problem, "invalid_preferences", "#/preferences")
    assert problem["detail"] == "The shop sends no SMS."
