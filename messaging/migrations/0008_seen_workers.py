from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("messaging", "0007_dead_letters_by_error")]

    operations = [
        migrations.AddField(
            "worker",
            "seen_at",
            models.DateTimeField(
                help_text="When it last recorded that it runs; none from a worker of older code.", null=True
            ),
        ),
        migrations.AddField(
            "worker",
            "end_requested_at",
            models.DateTimeField(help_text="When an operator requested that its cluster kills it.", null=True),
        ),
    ]
