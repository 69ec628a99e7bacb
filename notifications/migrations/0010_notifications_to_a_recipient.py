from django.db import migrations, models


class AddIndexConcurrently(migrations.AddIndex):
    """
    Add an index, on PostgreSQL without blocking writes. It may be repeated after a crash.
    """

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        concurrently = "CONCURRENTLY " if schema_editor.connection.vendor == "postgresql" else ""
        schema_editor.execute(f"DROP INDEX {concurrently}IF EXISTS notifications_to_a_recipient")
        schema_editor.execute(
            f"CREATE INDEX {concurrently}notifications_to_a_recipient ON notifications_notification"
            " (recipient, created_at) WHERE NOT reason = 'recipient_cap' AND NOT reason = 'total_cap'"
        )


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
