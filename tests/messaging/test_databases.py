from contextlib import nullcontext

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from inventory.models import StockMovement
from messaging.kernel.databases import bulk_copy_instances, pipelined
from tests.outbox import counting_statements

pytestmark = pytest.mark.django_db

AWKWARD = 'Röd\t"stol" \\N\\.\n'


def movements(*quantities: int) -> list[StockMovement]:
    return [StockMovement(sku=AWKWARD, kind="received", quantity=number, at=timezone.now()) for number in quantities]


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
