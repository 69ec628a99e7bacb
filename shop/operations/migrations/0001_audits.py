import messaging.kernel.ids
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="AuditRun",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=messaging.kernel.ids.new_id, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("started_at", models.DateTimeField()),
                ("seconds", models.FloatField(help_text="How long it took.")),
                (
                    "verdict",
                    models.CharField(
                        choices=[("ok", "ok"), ("violation", "violation"), ("unknown", "unknown")], max_length=9
                    ),
                ),
                (
                    "last_message",
                    models.UUIDField(help_text="The newest message in the state that it examined.", null=True),
                ),
                (
                    "report",
                    models.JSONField(help_text="The result of each check, with up to five examples of violations."),
                ),
            ],
        ),
        migrations.CreateModel(
            name="AuditViolation",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("rule", models.CharField(help_text="The id of the check, such as O3.", max_length=5)),
                (
                    "subject",
                    models.CharField(
                        help_text="A sku, a currency, or the id of an order or of another row.", max_length=300
                    ),
                ),
                ("found_at", models.DateTimeField(help_text="When an audit found it first.")),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("rule", "subject"), name="one_violation_per_subject")],
            },
        ),
    ]
