from django.db import migrations, models

from messaging.kernel.indexes import AddIndexConcurrently, RemoveIndexConcurrently

DATE_DEAD_LETTERS = """
    UPDATE messaging_delivery
    SET failed_at = (SELECT max(failed_at) FROM messaging_attempt WHERE delivery_id = messaging_delivery.id)
    WHERE status = 'dead' AND failed_at IS NULL
"""


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("messaging", "0006_resolutions_and_pauses")]

    operations = [
        migrations.RunSQL(DATE_DEAD_LETTERS, migrations.RunSQL.noop),
        AddIndexConcurrently(
            "delivery",
            models.Index(
                condition=models.Q(("status", "dead")),
                fields=["subscriber", "error_class", "fingerprint", "failed_at"],
                name="dead_letters_by_error",
            ),
        ),
        AddIndexConcurrently(
            "delivery",
            models.Index(
                condition=models.Q(("resolution__isnull", False)),
                fields=["resolution", "status"],
                name="deliveries_by_resolution",
            ),
        ),
        RemoveIndexConcurrently("delivery", "dead_letters"),
    ]
