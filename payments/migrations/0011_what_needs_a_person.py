from django.db import migrations, models


class AddIndexConcurrently(migrations.AddIndex):
    """
    Add an index, on PostgreSQL without blocking writes. It may be repeated after a crash.
    """

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        if schema_editor.connection.vendor == "postgresql":
            model = to_state.apps.get_model(app_label, self.model_name)
            schema_editor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {self.index.name}")
            schema_editor.execute(self.index.create_sql(model, schema_editor, concurrently=True), params=None)
        else:
            schema_editor.execute(f"DROP INDEX IF EXISTS {self.index.name}")
            super().database_forwards(app_label, schema_editor, from_state, to_state)


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
