from django.db import migrations, models

from messaging.kernel.indexes import AddIndexConcurrently


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("notifications", "0012_audits")]

    operations = [
        AddIndexConcurrently(
            "notification",
            models.Index(
                fields=["status", "id"],
                condition=models.Q(status__in=["failed", "bounced"]),
                name="failed_notifications",
            ),
        ),
    ]
