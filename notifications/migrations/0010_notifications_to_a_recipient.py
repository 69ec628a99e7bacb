from django.db import migrations, models

from messaging.kernel.indexes import AddIndexConcurrently


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("notifications", "0009_caps")]

    operations = [
        AddIndexConcurrently(
            "notification",
            models.Index(
                condition=models.Q(
                    models.Q(("reason", "recipient_cap"), _negated=True),
                    models.Q(("reason", "total_cap"), _negated=True),
                ),
                fields=["recipient", "created_at"],
                name="notifications_to_a_recipient",
            ),
        ),
    ]
