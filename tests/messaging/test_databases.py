from contextlib import nullcontext
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from inventory.models import Reservation, StockMovement
from messaging.kernel.databases import (
    bulk_copy_instances,
    insert_new,
    insert_new_rows,
    pipelined,
    visible_before_flush,
)
from messaging.models import Delivery, OutboxMessage
from messaging.outbox import DELIVERY_FIELDS, new_delivery
from tests.outbox import counting_statements

pytestmark = pytest.mark.django_db

NOW = datetime(2030, 6, 1, 12, 0, 0, 5, tzinfo=UTC)
AWKWARD = 'Röd\t"stol" \\N\\.\n'


def movements(*quantities: int) -> list[StockMovement]:
    return [StockMovement(sku=AWKWARD, kind="received", quantity=number, at=timezone.now()) for number in quantities]


def messages(*keys: str) -> list[OutboxMessage]:
    fields = {"type": "orders.order_placed", "version": 1, "payload": AWKWARD, "traceparent": "", "published_at": NOW}
    return [OutboxMessage(key=key, correlation_id=uuid4(), **fields) for key in keys]


def reservations(*order_ids: UUID) -> list[Reservation]:
    return [Reservation(order_id=order_id, created_at=NOW) for order_id in order_ids]


class TestBulkCopyInstances:
    @pytest.mark.parametrize("around", [nullcontext, pipelined])
    def test_writes_the_same_as_save(self, around):
        instances = movements(1, 2)

        with transaction.atomic(), around():
            bulk_copy_instances(instances)

        rows = [(movement.sku, movement.quantity, movement.at, movement.order_id) for movement in instances]
        assert list(StockMovement.objects.order_by("id").values_list("sku", "quantity", "at", "order_id")) == rows

    def test_takes_no_statement_without_instances(self):
        with counting_statements() as statements:
            bulk_copy_instances([])

        assert not len(statements)

    @pytest.mark.parametrize("around", [nullcontext, pipelined])
    def test_respects_constraints(self, around):
        with pytest.raises(IntegrityError), transaction.atomic(), around():
            bulk_copy_instances(movements(1, -1))

        assert not StockMovement.objects.exists()

    @pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite prepares each statement")
    def test_prepares_its_statement_in_a_pipeline(self):
        with transaction.atomic(), pipelined():
            bulk_copy_instances(movements(1))

        with connection.cursor() as cursor:
            cursor.execute("SELECT statement FROM pg_prepared_statements")
            assert any("inventory_stockmovement" in statement for (statement,) in cursor.fetchall())


class TestInsertNew:
    def test_inserts_what_no_constraint_excludes_in_one_statement(self):
        first, second = uuid4(), uuid4()
        old, new, repeated = reservations(first, second, second)
        old.save()

        with counting_statements() as statements:
            assert insert_new([*reservations(first), new, repeated]) == {new.pk}

        assert len(statements) == 1
        assert sorted(Reservation.objects.values_list("pk", flat=True)) == sorted([old.pk, new.pk])

    def test_writes_the_same_as_save(self):
        (message,) = messages(AWKWARD)

        insert_new([message])

        expected = {field.attname: getattr(message, field.attname) for field in OutboxMessage._meta.concrete_fields}
        assert OutboxMessage.objects.values().get() == expected

    def test_generates_ids_in_the_order_of_the_rows(self):
        (message,) = messages("RED-CHAIR")
        message.save()
        names = [f"orders.subscriber_{number}" for number in range(300)]

        insert_new_rows(
            Delivery, DELIVERY_FIELDS, [new_delivery(message.pk, name, "RED-CHAIR", due_at=NOW) for name in names]
        )

        assert list(Delivery.objects.order_by("id").values_list("subscriber", flat=True)) == names


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite flushes as it commits")
@pytest.mark.django_db(transaction=True)
class TestVisibleBeforeFlush:
    @pytest.fixture(autouse=True)
    def waits_for_the_disk(self):
        with connection.cursor() as cursor:
            cursor.execute("SET synchronous_commit = on")
            yield
            cursor.execute("SET synchronous_commit = off")

    def test_ends_when_the_log_is_on_disk_beyond_the_commit(self):
        committed_at = []

        with visible_before_flush():
            insert_new(messages("RED-CHAIR"))
            transaction.on_commit(lambda: committed_at.append(scalar("SELECT pg_current_wal_insert_lsn()")))

        assert scalar("SELECT pg_current_wal_flush_lsn() >= %s::pg_lsn", *committed_at)

    def test_commits_without_a_wait_for_the_disk(self):
        with visible_before_flush():
            assert scalar("SHOW synchronous_commit") == "off"

        assert scalar("SHOW synchronous_commit") == "on"


def scalar(query: str, *parameters: str) -> object:
    with connection.cursor() as cursor:
        cursor.execute(query, parameters)
        return cursor.fetchone()[0]
