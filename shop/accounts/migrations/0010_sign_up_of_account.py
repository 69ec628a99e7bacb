from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("shop", "0009_sign_up")]

    operations = [
        migrations.AddField(
            model_name="account",
            name="sign_up",
            field=models.UUIDField(
                editable=False, help_text="The confirmation by which the user signed up.", null=True
            ),
        ),
    ]
