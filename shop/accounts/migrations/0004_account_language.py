from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("shop", "0003_plainer_help_texts")]

    operations = [
        migrations.AddField(
            model_name="account",
            name="language",
            field=models.CharField(
                blank=True,
                choices=[("en", "English"), ("de", "Deutsch")],
                db_default="",
                default="",
                help_text="Of messages to the customer; empty for that of the request that places an order.",
                max_length=10,
            ),
        ),
    ]
