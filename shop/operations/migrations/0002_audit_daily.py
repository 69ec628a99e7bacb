from django.apps import apps as installed
from django.contrib.auth.management import create_permissions
from django.db import migrations

CHORE = "Audit the shop"


def schedule(apps, schema_editor):
    """
    Have the cluster ask every hour whether the audit of the day is due. Without a cluster, cron may run it.
    """
    apps.get_model("django_q", "Schedule").objects.get_or_create(
        name=CHORE,
        defaults={"func": "shop.operations.recorded_audits.audit_daily", "schedule_type": "H"},
    )


def unschedule(apps, schema_editor):
    apps.get_model("django_q", "Schedule").objects.filter(name=CHORE).delete()


def allow_operators(apps, schema_editor):
    """
    Let the group of operators see audits. Django creates permissions after all migrations, which is too late here.
    """
    alias = schema_editor.connection.alias
    create_permissions(installed.get_app_config("operations"), verbosity=0, using=alias)
    Group, Permission = apps.get_model("auth", "Group"), apps.get_model("auth", "Permission")
    codenames = ("view_auditrun", "view_auditviolation")
    permissions = Permission.objects.using(alias).filter(content_type__app_label="operations", codename__in=codenames)
    for group in Group.objects.using(alias).filter(name="operator"):
        group.permissions.add(*permissions)


class Migration(migrations.Migration):
    dependencies = [
        ("operations", "0001_audits"),
        ("shop", "0005_roles"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("django_q", "0019_alter_task_options_alter_ormq_key_alter_ormq_lock_and_more"),
    ]

    operations = [
        migrations.RunPython(schedule, unschedule),
        migrations.RunPython(allow_operators, migrations.RunPython.noop),
    ]
