"""
The audit over the databases of four services.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any
from uuid import UUID

import pytest
from django.core.management import CommandError
from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone

from shop.operations import audit
from shop.operations.audit.copy import READINGS
from shop.settings.groups import CONTEXTS
from tests.commands import run
from tests.shop.operations.audit.day import HOUR, Day, violated
from tests.shop.operations.audit.mutants import MUTANTS
from tests.shop.operations.services import CONFIRMED, operating

MINUTE = HOUR / 60
ANOMALY = "payments.payment_anomaly_found"


def examples() -> dict[str, list[str]]:
    """
    Return the examples of each violated check.
    """
    report = audit.run(now=timezone.now())
    return {result.id: list(result.examples) for result in report.results if result.violations}


class TestWithServices:
    def test_finds_no_violation_after_a_day(self, operator):
        report = audit.run(now=timezone.now())

        assert report.verdict == "ok"
        assert all(result.evaluated for result in report.results)

    def test_finds_an_order_confirmed_without_payment(self, operator, services, bob):
        services.execute("payments", "DELETE FROM payments_capture WHERE amount = %s", bob.total)

        assert examples() == {"O6": [str(bob.pk)], "O7": ["GBP"]}

    def test_finds_an_event_that_was_received_under_two_ids(self, operator, services, bob):
        services.publish("orders", "payments.payment_succeeded", str(bob.pk), "orders.confirm_order")

        assert examples()["M1"] == [str(bob.pk)]

    def test_ignores_deliveries_that_a_context_left_behind(self, operator, services, bob):
        message, two_hours_ago = services.id_of(CONFIRMED, bob), timezone.now() - 2 * HOUR
        services.deliver("orders", message, str(bob.pk), "notifications.send_confirmation", due_at=two_hours_ago)

        assert violated() == []


class TestEventInTransit:
    """Inventory has not received that Bob's order is confirmed, and holds its stock."""

    @pytest.fixture(autouse=True)
    def message(self, operator, services, bob) -> UUID:
        message = services.lose("inventory", CONFIRMED, bob)
        services.hold_again(bob)
        return message

    @pytest.fixture
    def sent(self, services, message) -> Callable[..., None]:
        """Change the delivery by which the event is sent."""

        def change(**values: object) -> None:
            assignments = ", ".join(f"{column} = %s" for column in values)
            sent = "message_id = %s AND subscriber = 'messaging.transport'"
            services.execute(
                "orders", f"UPDATE messaging_delivery SET {assignments} WHERE {sent}", *values.values(), message
            )

        return change

    def test_is_pending_elsewhere(self):
        assert violated() == []

    def test_may_wait_while_its_service_works(self, sent):
        sent(delivered_at=timezone.now() - 10 * MINUTE)

        assert violated() == []

    def test_is_overdue_if_its_service_stands_still(self, services, sent, message):
        sent(delivered_at=timezone.now() - 10 * MINUTE)
        services.execute("inventory", "UPDATE messaging_delivery SET delivered_at = %s", timezone.now() - HOUR)

        assert examples() == {"M4": [f"{message} for inventory.commit_reservation: pending"]}

    def test_is_lost_after_an_hour(self, sent, message, bob):
        sent(delivered_at=timezone.now() - 2 * HOUR)

        assert examples() == {"O3": [str(bob.pk)], "M2": [str(message)]}

    def test_is_lost_also_if_its_service_never_received_one(self, services, sent, message, bob):
        sent(delivered_at=timezone.now() - 2 * HOUR)
        received = f"SELECT id FROM messaging_outboxmessage WHERE type = '{CONFIRMED}'"
        services.execute("inventory", f"DELETE FROM messaging_delivery WHERE message_id IN ({received})")
        services.execute("inventory", f"DELETE FROM messaging_outboxmessage WHERE type = '{CONFIRMED}'")

        assert str(message) in examples()["M2"]

    def test_is_pending_while_it_is_to_be_sent(self, sent):
        sent(status="pending", delivered_at=None, due_at=timezone.now())

        assert violated() == []

    def test_is_overdue_once_if_it_is_not_sent(self, sent, message):
        sent(status="pending", delivered_at=None, due_at=timezone.now() - 2 * HOUR)

        assert examples() == {"M4": [f"{message} for messaging.transport: pending"]}

    def test_waits_for_an_operator_as_a_dead_letter_of_the_transport(self, sent):
        sent(status="dead", delivered_at=None, due_at=timezone.now() - 2 * HOUR)

        assert violated() == []

    def test_waits_for_an_operator_as_an_undecodable_dead_letter(self, services, sent, message, bob):
        sent(delivered_at=timezone.now() - 2 * HOUR)
        services.publish(
            "inventory", "undecodable", "", "messaging.receive", status="dead", payload=f'{{"id":"{message}","data":7}}'
        )
        services.publish("inventory", "undecodable", "", "messaging.receive", status="dead", payload="\\xff")

        assert violated() == []

        services.execute("inventory", "UPDATE messaging_delivery SET status = 'discarded' WHERE status = 'dead'")

        assert examples() == {"O3": [str(bob.pk)]}


class TestInconsistentStates:
    """Payments are read before notifications, and publish an alert for them in between."""

    @pytest.fixture
    def notifications(self, services, transport) -> Iterator[BaseDatabaseWrapper]:
        """The connection to notifications of an operator's process, which this process is."""
        apart = {context: database.copy(context) for context, database in services.databases.items()}
        with operating(apart) as opened:
            yield opened["notifications"]
        for database in apart.values():
            database.close()

    @pytest.fixture
    def alert(self, services) -> Iterator[Callable[[], None]]:
        def publish() -> None:
            id_ = services.publish("payments", ANOMALY, "17", "messaging.transport")
            services.publish("notifications", ANOMALY, "17", "notifications.alert_operator", id_=id_)

        publish()
        yield publish
        for context in ("payments", "notifications"):
            services.execute(context, "DELETE FROM messaging_delivery WHERE key = '17'")
            services.execute(context, "DELETE FROM messaging_outboxmessage WHERE key = '17'")

    def test_are_read_again(self, notifications, alert):
        with publishing(alert, notifications, times=2) as readings:
            assert violated() == []

        assert next(readings) == 3

    def test_end_the_audit_with_3_if_they_never_agree(self, notifications, alert):
        with publishing(alert, notifications, times=READINGS), pytest.raises(CommandError) as failed:
            run("audit")

        assert failed.value.returncode == 3
        assert str(failed.value).startswith("The audit could not run: each of 5 times that the databases were read, ")


@contextmanager
def publishing(alert: Callable[[], None], receiver: BaseDatabaseWrapper, *, times: int) -> Iterator[Iterator[int]]:
    """
    Call `alert` before a receiver is read the first so many times; return the counter of the readings.
    """
    readings = count()

    def publish(execute: Callable[..., Any], sql: str, *arguments: Any) -> Any:
        if sql.endswith('FROM "messaging_outboxmessage" LIMIT 1') and next(readings) < times:
            alert()
        return execute(sql, *arguments)

    with receiver.execute_wrapper(publish):
        yield readings


@pytest.mark.django_db
class TestCopy:
    def test_has_all_that_the_checks_read(self, day):
        """Each mutant of one database is found in a copy of it."""
        urls = dict(zip(CONTEXTS, CONTEXTS, strict=True))
        with operating(dict.fromkeys(CONTEXTS, connections[DEFAULT_DB_ALIAS]), **urls):
            assert [found_in_copy(mutant, day) for _, mutant in MUTANTS] == [[check] for check, _ in MUTANTS]


def found_in_copy(mutant: Callable[[Day], object], day: Day) -> list[str]:
    with transaction.atomic():
        mutant(day)
        found = violated()
        transaction.set_rollback(True)
    return found
