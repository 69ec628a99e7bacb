from django.db import migrations, models

DATE_DEAD_LETTERS = """
    UPDATE messaging_delivery
    SET failed_at = (SELECT max(failed_at) FROM messaging_attempt WHERE delivery_id = messaging_delivery.id)
    WHERE status = 'dead' AND failed_at IS NULL
"""


def _concurrently(schema_editor):
    return "CONCURRENTLY " if schema_editor.connection.vendor == "postgresql" else ""


class AddIndexConcurrently(migrations.AddIndex):
    """
    Add an index, on PostgreSQL without blocking writes. It may be repeated after a crash.
    """

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        concurrently = _concurrently(schema_editor)
        model = to_state.apps.get_model(app_label, self.model_name)
        create = str(self.index.create_sql(model, schema_editor))
        schema_editor.execute(f"DROP INDEX {concurrently}IF EXISTS {self.index.name}")
        schema_editor.execute(create.replace("CREATE INDEX ", f"CREATE INDEX {concurrently}", 1), params=None)


class RemoveIndexConcurrently(migrations.RemoveIndex):
    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        schema_editor.execute(f"DROP INDEX {_concurrently(schema_editor)}IF EXISTS {self.name}")


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
