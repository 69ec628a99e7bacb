from django.db import IntegrityError, migrations, models, transaction

from messaging.kernel.order_numbers import new_number

BATCH_SIZE = 1_000
UPDATE = "UPDATE orders_order SET number = %s WHERE id = %s"
UPDATE_BATCH = """
    UPDATE orders_order SET number = drawn.number
    FROM unnest(%s::uuid[], %s::text[]) AS drawn (id, number) WHERE orders_order.id = drawn.id
"""


def number_orders(apps, schema_editor):
    """
    Number the orders that have no number, each batch in a transaction of its own. It may be repeated after a crash.
    """
    unnumbered = apps.get_model("orders", "Order").objects.filter(number="").order_by("pk").values_list("pk", flat=True)
    batch = list(unnumbered[:BATCH_SIZE])
    while batch:
        _number(batch, schema_editor.connection)
        batch = list(unnumbered.filter(pk__gt=batch[-1])[:BATCH_SIZE])


def _number(ids, connection):
    while True:
        numbers = [new_number() for _ in ids]
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                if connection.vendor == "postgresql":
                    cursor.execute(UPDATE_BATCH, [ids, numbers])
                else:
                    cursor.executemany(UPDATE, [(number, pk.hex) for number, pk in zip(numbers, ids, strict=True)])
        except IntegrityError:  # one of the numbers is taken: about one batch in thirty at a million orders
            continue
        return


class AddCheckWithoutLongLock(migrations.AddConstraint):
    """
    Add a check; on PostgreSQL the rows are read without blocking writes. It may be repeated after a crash.
    """

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        apps = from_state.apps
        if schema_editor.connection.vendor != "postgresql":
            with transaction.atomic():
                number_orders(apps, schema_editor)
                super().database_forwards(app_label, schema_editor, from_state, to_state)
            return
        schema_editor.execute("ALTER TABLE orders_order DROP CONSTRAINT IF EXISTS order_has_a_number")
        schema_editor.execute("ALTER TABLE orders_order ADD CONSTRAINT order_has_a_number CHECK (number <> '') NOT VALID")
        number_orders(apps, schema_editor)  # those that the previous release placed meanwhile
        schema_editor.execute("ALTER TABLE orders_order VALIDATE CONSTRAINT order_has_a_number")


class Migration(migrations.Migration):
    """
    Number the orders of earlier releases. From the check on, the previous release cannot place orders.
    """

    atomic = False

    dependencies = [("orders", "0007_unique_numbers")]

    operations = [
        migrations.RunPython(number_orders, migrations.RunPython.noop),
        AddCheckWithoutLongLock(
            "order",
            models.CheckConstraint(
                condition=models.Q(("number", ""), _negated=True), name="order_has_a_number"
            ),
        ),
    ]
