"""
A database that an earlier release left in the middle of its work, run by this one.

The dumps in `data/b7769aa` were made by that commit, before the first release: about sixty orders in every state, when
web server, workers and payment simulator were killed. `python -m tests.upgrade` made those of releases. `answers_*`
holds the requests that placed orders, by idempotency key, and their responses.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from shop.settings.groups import SIMULATED_GATEWAY
from tests.processes import database_url
from tests.upgrade.releases import Database, ThisRelease, fresh_database, read
from tests.waiting import eventually

GATEWAYS = {"b7769aa": "payments.adapters.simulated.SimulatedGateway", "0.1.0": SIMULATED_GATEWAY}
"""The path of the gateway in the settings of each release."""
UNFINISHED = "SELECT id FROM messaging_delivery WHERE status = 'pending'"
NEW_TABLES = {
    "messaging_deadlettergroup",
    "messaging_operatorpause",
    "messaging_receiverstate",
    "messaging_resolution",
    "messaging_subscriberpause",
    "messaging_worker",
    "notifications_preference",
    "notifications_queuedinminute",
    "notifications_suppression",
    "operations_auditrun",
    "operations_auditviolation",
    "orders_ordernote",
    "orders_orderrefund",
    "otp_static_staticdevice",
    "otp_static_statictoken",
    "otp_totp_totpdevice",
    "payments_gatewaycall",
    "payments_reconciliation",
    "shop_confirmation",
}
ADDED_COLUMNS = {
    *("messaging_delivery.failed_at", "messaging_delivery.resolution"),
    *(
        f"notifications_notification.{column}"
        for column in (
            *("attempts", "ended_at", "error", "html", "language", "link_id", "number", "provider_id", "reason"),
            *("topic", "tried_at", "useful_until"),
        )
    ),
    *("orders_order.language", "orders_order.number", "orders_product.few_left", "orders_product.picture"),
    *("payments_paymentintent.language", "payments_paymentintent.number", "payments_paymentintent.phone"),
    *("payments_refund.cause", "shop_account.language", "shop_account.sign_up"),
}

NULLABLE_NOW = {"notifications_notification.order_id"}
"""Columns in which the earlier release writes no null, so that it may run beside this one."""


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with fresh_database(tmp_path, database_url()) as database:
        yield database


@pytest.mark.parametrize("release", GATEWAYS)
@pytest.mark.django_db(transaction=True)
def test_finishes_every_order_of_a_release(release, database, tmp_path):
    database.load(release)
    answers = json.loads(read(release, "answers.json"))
    columns, unfinished = database.columns(), database.query(UNFINISHED)
    shop = ThisRelease(database, tmp_path, PAYMENT_GATEWAY=GATEWAYS[release])

    migrated = shop.manage("migrate")
    with shop.web, shop.gateway, shop.workers:
        repeated = shop.place({key: first["request"] for key, first in answers.items()})
        eventually(lambda: database.query(UNFINISHED) == [], every=0.2)
        audited = shop.manage("audit", "--json")

    assert migrated.status == 0, migrated.errors
    assert unfinished
    assert {f"{table}.{name}" for table, name, *_ in columns - database.columns()} <= NULLABLE_NOW
    assert repeated == {key: first["answer"] for key, first in answers.items()}
    assert audited.status == 0, audited.output


@pytest.mark.django_db(transaction=True)
def test_adds_columns_only_to_the_tables_before_the_first_release(database, tmp_path):
    database.load("b7769aa")
    columns = database.columns()
    tables = {table for table, *_ in columns}

    ThisRelease(database, tmp_path, PAYMENT_GATEWAY=GATEWAYS["b7769aa"]).manage("migrate")

    present = database.columns()
    assert database.query("SELECT * FROM orders_orderrefund")
    assert {table for table, *_ in present} - tables == NEW_TABLES
    added = {f"{table}.{name}" for table, name, *_ in present - columns if table in tables}
    assert added == ADDED_COLUMNS | NULLABLE_NOW
