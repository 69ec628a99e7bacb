from django.db import migrations, models

from messaging.kernel.indexes import concurrently, drop


class AddConstraintConcurrently(migrations.AddConstraint):
    """
    Add a unique constraint with a condition, on PostgreSQL without blocking writes. It may be repeated after a crash.
    """

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        drop(schema_editor, "one_order_per_number")
        schema_editor.execute(
            f"CREATE UNIQUE INDEX {concurrently(schema_editor)}one_order_per_number ON orders_order (number)"
            " WHERE number <> ''"
        )


class Migration(migrations.Migration):
    """
    Make numbers unique before orders of earlier releases get theirs: of a million random ones, about fifteen are taken.
    """

    atomic = False

    dependencies = [("orders", "0006_refunds_of_orders")]

    operations = [
        AddConstraintConcurrently(
            "order",
            models.UniqueConstraint(
                condition=models.Q(("number", ""), _negated=True), fields=("number",), name="one_order_per_number"
            ),
        ),
    ]
