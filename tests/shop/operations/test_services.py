"""
Commands of an operator, configured with the databases of four services.
"""

import json
import sys

import pytest
from django.core.management import CommandError

from tests.commands import run, run_json
from tests.gateways import INSTANT
from tests.processes import manage
from tests.processes import run as run_process
from tests.shop.operations.audit.day import violated
from tests.shop.operations.services import CONFIRMED, divided, operating, using


def deliveries(order_trace: dict, event: str) -> dict[str, str]:
    [entry] = [entry for entry in order_trace["timeline"] if entry["what"] == event]
    return {delivery["subscriber"]: delivery["status"] for delivery in entry["deliveries"]}


def steps(order_trace: dict) -> list[tuple[str, ...]]:
    return [(entry["at"], entry["context"], entry["what"], entry["because"]) for entry in order_trace["timeline"]]


@pytest.fixture
def number(day_in_services) -> str:
    """The number of an order that was confirmed, and partly refunded."""
    return day_in_services.day.ada.number


class TestTraceOrder:
    def test_prints_the_steps_of_one_database_and_the_hops_over_the_broker(self, day_in_services, services, number):
        finished = services.manage("trace_order", number, "--json")

        assert finished.status == 0, finished.errors
        order_trace = json.loads(finished.output)
        with using({"default": day_in_services.whole}):
            assert steps(order_trace) == steps(run_json("trace_order", number))
        assert list(deliveries(order_trace, "payments.payment_succeeded")) == [
            "messaging.transport",
            "orders.confirm_order",
        ]
        assert deliveries(order_trace, CONFIRMED) == {
            "messaging.transport": "delivered",
            "inventory.commit_reservation": "delivered",
            "notifications.send_confirmation": "delivered",
        }
        assert deliveries(order_trace, "orders.payment_overdue") == {"messaging.transport": "pending"}

    def test_shows_which_service_has_not_received_an_event(self, operator, day_in_services, services, number):
        services.lose("inventory", CONFIRMED, day_in_services.day.ada)

        assert deliveries(run_json("trace_order", number), CONFIRMED) == {
            "messaging.transport": "delivered",
            "notifications.send_confirmation": "delivered",
            "inventory.commit_reservation": "in transit",
        }
        assert "inventory.commit_reservation: in transit at 20" in run("trace_order", number)

    @pytest.mark.usefixtures("operator")
    def test_fails_for_an_unknown_order(self):
        with pytest.raises(CommandError, match=r"No order has the number, id.* 'C536365'"):
            run("trace_order", "C536365")


class TestAudit:
    @pytest.mark.parametrize("pennies", [0, 1])
    def test_exits_as_over_one_database(self, services, pennies):
        services.execute("orders", "UPDATE orders_order SET total = total + %s", pennies)

        finished = services.manage("audit", PAYMENT_GATEWAY=INSTANT)

        services.execute("orders", "UPDATE orders_order SET total = total - %s", pennies)
        assert finished.status == pennies, finished.errors
        assert ("violation  O2           5 rows" in finished.output) == bool(pennies)


@pytest.mark.usefixtures("transport", "services")
def test_two_contexts_in_one_database_are_read_once(day_in_services, number, tmp_path):
    contexts = [("orders", "inventory"), ("payments",), ("notifications",)]
    with (
        using({"default": day_in_services.whole}),
        divided(tmp_path, *contexts) as services,
        operating(services.databases),
    ):
        assert violated() == []
        assert deliveries(run_json("trace_order", number), CONFIRMED) == {
            "inventory.commit_reservation": "delivered",
            "messaging.transport": "delivered",
            "notifications.send_confirmation": "delivered",
        }


WRITE = """
import django
from django.db import connections
django.setup()
for alias in ("default", "inventory", "payments", "notifications"):
    try:
        connections[alias].cursor().execute("DELETE FROM messaging_delivery")
    except django.db.DatabaseError as error:
        print(error)
"""


@pytest.fixture
def four_urls(tmp_path) -> dict[str, str]:
    return {
        f"{context}_DATABASE_URL": f"sqlite:///{tmp_path}/{context}.sqlite3"
        for context in ("ORDERS", "INVENTORY", "PAYMENTS", "NOTIFICATIONS")
    }


class TestProcessOfAnOperator:
    @pytest.mark.parametrize("command", ["migrate", "runserver", "qcluster", "receive"])
    def test_runs_no_other_command(self, four_urls, command):
        finished = run_process(manage(command), **four_urls)

        assert finished.status == 1
        assert finished.errors.startswith("This process has the databases of all services, which it only reads: ")
        assert f"it cannot run {command}. Remove ORDERS_DATABASE_URL and the other three" in finished.errors

    def test_serves_no_requests(self, four_urls):
        finished = run_process([sys.executable, "-c", "import shop.wsgi"], **four_urls)

        assert finished.status == 1
        assert "which it only reads: it cannot serve." in finished.errors

    def test_has_all_databases_or_none(self, four_urls):
        del four_urls["PAYMENTS_DATABASE_URL"], four_urls["INVENTORY_DATABASE_URL"]

        finished = run_process(manage("check"), **four_urls)

        assert finished.status == 1
        assert "INVENTORY_DATABASE_URL, PAYMENTS_DATABASE_URL is missing. Set the database URLs" in finished.errors

    def test_runs_no_service(self, four_urls):
        finished = run_process(manage("check"), **four_urls, CONTEXTS="orders")

        assert finished.status == 1
        assert "An operator's process has the databases of all contexts. Remove CONTEXTS." in finished.errors

    def test_creates_no_database(self, four_urls, tmp_path):
        finished = run_process(manage("trace_order", "K7Q4-M2X7"), **four_urls)

        assert (finished.status, finished.output) == (1, "")
        assert finished.errors == (
            "Database error: unable to open database file. Check that ORDERS_DATABASE_URL and the other three name "
            "databases of their contexts that are running and accessible.\n"
        )
        assert list(tmp_path.iterdir()) == []

    def test_cannot_write(self, services):
        finished = run_process(
            [sys.executable, "-c", WRITE], **services.environment, DJANGO_SETTINGS_MODULE="shop.settings"
        )

        assert finished.status == 0, finished.errors
        refusals = finished.output.splitlines()
        assert len(refusals) == 4
        assert all("readonly database" in line or "read-only transaction" in line for line in refusals)
