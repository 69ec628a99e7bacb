from django.db import migrations

CHORE = "Prune tokens, keys and nonces"


def schedule(apps, schema_editor):
    """
    Have a running cluster prune once an hour. Nothing depends on it: without a cluster, cron may.
    """
    apps.get_model("django_q", "Schedule").objects.get_or_create(
        name=CHORE,
        defaults={
            "func": "django.core.management.call_command",
            "args": "'prune_credentials'",
            "schedule_type": "H",
        },
    )


def unschedule(apps, schema_editor):
    apps.get_model("django_q", "Schedule").objects.filter(name=CHORE).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("shop", "0001_initial"),
        ("django_q", "0019_alter_task_options_alter_ormq_key_alter_ormq_lock_and_more"),
    ]

    operations = [
        migrations.RunPython(schedule, unschedule),
        # Where the tokens were, in databases older than `shop.Token`.
        migrations.RunSQL("DROP TABLE IF EXISTS knox_authtoken", migrations.RunSQL.noop),
    ]
