from django.db import migrations, models
from django.db.models.functions import Lower

import messaging.kernel.lookups


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


class IndexLogOfAdmin(migrations.RunSQL):
    """
    Index the admin's log by what its entries are about: the page of an order shows them.
    """

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        concurrently = "CONCURRENTLY " if schema_editor.connection.vendor == "postgresql" else ""
        schema_editor.execute(f"DROP INDEX {concurrently}IF EXISTS log_entries_of_an_object")
        schema_editor.execute(f"CREATE INDEX {concurrently}log_entries_of_an_object ON django_admin_log (object_id)")


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("orders", "0009_notes_and_reasons"), ("admin", "0003_logentry_add_action_flag_choices")]

    operations = [
        AddIndexConcurrently(
            "order", models.Index(messaging.kernel.lookups.Bytewise(Lower("email")), name="orders_by_email")
        ),
        AddIndexConcurrently("order", models.Index(fields=["phone"], name="orders_by_phone")),
        AddIndexConcurrently("order", models.Index(fields=["idempotency_key"], name="orders_by_key")),
        AddIndexConcurrently("orderline", models.Index(fields=["sku", "-id"], name="lines_of_a_sku")),
        IndexLogOfAdmin("", reverse_sql="DROP INDEX log_entries_of_an_object"),
    ]
