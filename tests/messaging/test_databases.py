from contextlib import nullcontext
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from inventory.models import StockMovement
from messaging.kernel.databases import bulk_copy_instances, insert_new, pipelined
from payments.models import WebhookEvent
from tests.outbox import counting_statements

pytestmark = pytest.mark.django_db

NOW = datetime(2030, 6, 1, 12, 0, 0, 5, tzinfo=UTC)
AWKWARD = 'Röd\t"stol" \\N\\.\n'


def movements(*quantities: int) -> list[StockMovement]:
    return [StockMovement(sku=AWKWARD, kind="received", quantity=number, at=timezone.now()) for number in quantities]


def webhooks(*event_ids: str) -> list[WebhookEvent]:
    fields = {"amount": 4_500, "currency": "GBP", "outcome": "succeeded", "order_id": uuid4(), "received_at": NOW}
    return [
        WebhookEvent(event_id=event_id, body=b"\x00\xff", fingerprint=event_id, charge_key="key", **fields)
        for event_id in event_ids
    ]


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
        old, new, repeated = webhooks("evt_1", "evt_2", "evt_2")
        old.save()

        with counting_statements() as statements:
            assert insert_new([*webhooks("evt_1"), new, repeated]) == {new.pk}

        assert len(statements) == 1
        assert sorted(WebhookEvent.objects.values_list("pk", flat=True)) == sorted([old.pk, new.pk])

    def test_writes_the_same_as_save(self):
        (webhook,) = webhooks(AWKWARD)

        insert_new([webhook])

        stored = WebhookEvent.objects.values().get()
        expected = {field.attname: getattr(webhook, field.attname) for field in WebhookEvent._meta.concrete_fields}
        assert stored | {"body": bytes(stored["body"])} == expected
