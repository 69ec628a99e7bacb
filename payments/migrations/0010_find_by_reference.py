from django.db import migrations, models


class AddIndexConcurrently(migrations.AddIndex):
    """
    Add an index, on PostgreSQL without blocking writes. It may be repeated after a crash.
    """

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        model = to_state.apps.get_model(app_label, self.model_name)
        if schema_editor.connection.vendor == "postgresql":
            schema_editor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {self.index.name}")
            schema_editor.add_index(model, self.index, concurrently=True)
        else:
            schema_editor.execute(f"DROP INDEX IF EXISTS {self.index.name}")
            schema_editor.add_index(model, self.index)


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("payments", "0009_customer_facing_fields")]

    operations = [
        AddIndexConcurrently("capture", models.Index(fields=["reference"], name="captures_by_reference")),
        AddIndexConcurrently("paymentintent", models.Index(fields=["provider_reference"], name="payments_by_reference")),
        AddIndexConcurrently("refund", models.Index(fields=["provider_reference"], name="refunds_by_reference")),
    ]
