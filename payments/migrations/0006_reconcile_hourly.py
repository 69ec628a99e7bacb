from django.db import migrations

CHORE = "Reconcile payments with the gateway"


def schedule(apps, schema_editor):
    """
    Schedule an hourly reconciliation in the cluster. Nothing depends on it: without a cluster, cron may run it.
    """
    apps.get_model("django_q", "Schedule").objects.get_or_create(
        name=CHORE,
        defaults={"func": "payments.reconciliation.reconcile_lately", "schedule_type": "H"},
    )


def unschedule(apps, schema_editor):
    apps.get_model("django_q", "Schedule").objects.filter(name=CHORE).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("payments", "0005_refunds_of_captures"),
        ("django_q", "0019_alter_task_options_alter_ormq_key_alter_ormq_lock_and_more"),
    ]

    operations = [migrations.RunPython(schedule, unschedule)]
