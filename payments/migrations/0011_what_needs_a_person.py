from django.db import migrations, models

from messaging.kernel.indexes import AddIndexConcurrently


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("payments", "0010_find_by_reference")]

    operations = [
        AddIndexConcurrently(
            "paymentintent",
            models.Index(fields=["id"], condition=models.Q(status="unknown"), name="unknown_payments"),
        ),
        AddIndexConcurrently(
            "refund",
            models.Index(fields=["id"], condition=models.Q(status="failed"), name="failed_refunds"),
        ),
        AddIndexConcurrently(
            "webhookevent",
            models.Index(
                fields=["status", "id"],
                condition=models.Q(status__in=["parked", "disputed"]),
                name="parked_or_disputed",
            ),
        ),
    ]
