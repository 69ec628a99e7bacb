from django.db import migrations


class Migration(migrations.Migration):
    """
    Rename a model in Django's state only: its table keeps its name, and no SQL runs.
    """

    dependencies = [("orders", "0002_take_orders_by_the_front_door")]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.AlterModelTable("firstanswer", "orders_firstanswer"),
                migrations.RenameModel("FirstAnswer", "StoredResponse"),
            ]
        )
    ]
