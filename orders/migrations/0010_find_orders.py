from django.db import migrations, models
from django.db.models.functions import Lower

import messaging.kernel.lookups
from messaging.kernel.indexes import AddIndexConcurrently, concurrently, drop


class IndexLogOfAdmin(migrations.RunSQL):
    """
    Index the admin's log by what its entries are about: the page of an order shows them.
    """

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        drop(schema_editor, "log_entries_of_an_object")
        schema_editor.execute(
            f"CREATE INDEX {concurrently(schema_editor)}log_entries_of_an_object ON django_admin_log (object_id)"
        )


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
