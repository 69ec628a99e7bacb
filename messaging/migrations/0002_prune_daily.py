from django.db import migrations

CHORE = "Prune delivered messages"


def schedule(apps, schema_editor):
    """
    Schedule a daily prune in django-q2's cluster. Delivery does not depend on it; without a cluster, cron may prune.
    """
    apps.get_model("django_q", "Schedule").objects.get_or_create(
        name=CHORE,
        defaults={
            "func": "django.core.management.call_command",
            "args": "'prune_messages'",
            "schedule_type": "D",
        },
    )


def unschedule(apps, schema_editor):
    apps.get_model("django_q", "Schedule").objects.filter(name=CHORE).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("messaging", "0001_initial"),
        ("django_q", "0019_alter_task_options_alter_ormq_key_alter_ormq_lock_and_more"),
    ]

    operations = [migrations.RunPython(schedule, unschedule)]
