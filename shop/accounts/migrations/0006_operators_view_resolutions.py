from django.apps import apps as installed
from django.contrib.auth.management import create_permissions
from django.db import migrations


def grant(apps, schema_editor):
    """
    Let operators view what became of the dead letters that they replay and discard; leave a group alone that may not
    view deliveries, as the shop has made it another role.
    """
    alias = schema_editor.connection.alias
    create_permissions(installed.get_app_config("messaging"), verbosity=0, using=alias)
    Group, Permission = apps.get_model("auth", "Group"), apps.get_model("auth", "Permission")
    of_messaging = Permission.objects.using(alias).filter(content_type__app_label="messaging")
    operators = Group.objects.using(alias).filter(name="operator", permissions__in=of_messaging.filter(codename="view_delivery"))
    for group in operators:
        group.permissions.add(*of_messaging.filter(codename="view_resolution"))


class Migration(migrations.Migration):
    dependencies = [("shop", "0005_roles")]

    operations = [migrations.RunPython(grant, migrations.RunPython.noop)]
