import messaging.kernel.ids
from django.db import migrations, models

CHORE = "Prune calls of the gateway"


def schedule(apps, schema_editor):
    """
    Schedule a daily prune in the cluster. Nothing depends on it.
    """
    apps.get_model("django_q", "Schedule").objects.get_or_create(
        name=CHORE,
        defaults={"func": "payments.gateway.calls.prune", "schedule_type": "D"},
    )


def unschedule(apps, schema_editor):
    apps.get_model("django_q", "Schedule").objects.filter(name=CHORE).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("payments", "0011_what_needs_a_person"),
        ("django_q", "0019_alter_task_options_alter_ormq_key_alter_ormq_lock_and_more"),
    ]

    operations = [
        migrations.CreateModel(
            "GatewayCall",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=messaging.kernel.ids.new_id, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("order_id", models.UUIDField(db_index=True)),
                ("name", models.CharField(help_text="What was asked for, such as charge.", max_length=40)),
                (
                    "outcome",
                    models.CharField(help_text="The gateway's answer, or why there is none.", max_length=11),
                ),
                ("started_at", models.DateTimeField()),
                ("milliseconds", models.PositiveIntegerField(help_text="How long it took.")),
            ],
        ),
        migrations.RunPython(schedule, unschedule),
    ]
