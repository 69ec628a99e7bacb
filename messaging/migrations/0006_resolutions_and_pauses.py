import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import messaging.kernel.ids


class Migration(migrations.Migration):
    dependencies = [
        ("messaging", "0005_worker_state"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            "delivery",
            "failed_at",
            models.DateTimeField(null=True, help_text="When the last failed attempt ended."),
        ),
        migrations.AddField(
            "delivery",
            "resolution",
            models.UUIDField(null=True, help_text="The last replay or discard by an operator."),
        ),
        migrations.CreateModel(
            "Resolution",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        primary_key=True, default=messaging.kernel.ids.new_id, editable=False, serialize=False
                    ),
                ),
                ("kind", models.CharField(choices=[("replay", "Replay"), ("discard", "Discard")], max_length=7)),
                ("resolved_at", models.DateTimeField()),
                ("resolved_by", models.CharField(max_length=200, help_text="A username, or the user of the shell.")),
                ("reason", models.CharField(blank=True, max_length=500)),
                (
                    "chosen",
                    models.CharField(
                        blank=True, max_length=500, help_text="By which filters; empty for all dead letters."
                    ),
                ),
                ("letters", models.PositiveIntegerField(default=0, help_text="How many dead letters it changed.")),
            ],
        ),
        migrations.CreateModel(
            "DeadLetterGroup",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("subscriber", models.CharField(max_length=100)),
                ("error_class", models.CharField(blank=True, max_length=200)),
                ("fingerprint", models.CharField(blank=True, max_length=16)),
                (
                    "assignee",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("subscriber", "error_class", "fingerprint"), name="one_row_per_group"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            "OperatorPause",
            fields=[
                ("subscriber", models.CharField(max_length=100, primary_key=True, serialize=False)),
                ("reason", models.CharField(max_length=500)),
                ("paused_by", models.CharField(max_length=200, help_text="A username, or the user of the shell.")),
                ("paused_at", models.DateTimeField()),
            ],
        ),
    ]
