from django.db import migrations, models

from messaging.kernel.indexes import AddIndexConcurrently


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("messaging", "0008_seen_workers")]

    operations = [
        AddIndexConcurrently(
            "delivery",
            models.Index(
                fields=["delivered_at"],
                condition=models.Q(delivered_at__isnull=False),
                name="deliveries_by_their_end",
            ),
        ),
    ]
