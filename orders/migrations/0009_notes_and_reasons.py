import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("orders", "0008_number_every_order")]

    operations = [
        migrations.AddField(
            model_name="orderrefund",
            name="reason",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="As an operator wrote it for the customer.",
                max_length=100,
            ),
        ),
        migrations.CreateModel(
            name="OrderNote",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("text", models.CharField(max_length=2000)),
                ("author", models.CharField(help_text="The operator's username.", max_length=150)),
                ("at", models.DateTimeField()),
                (
                    "order",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="notes", to="orders.order"
                    ),
                ),
            ],
        ),
    ]
