from django.apps import apps as installed
from django.contrib.auth.management import create_permissions
from django.db import migrations

EXPORTS = {
    "finance": {"payments": ["export_paymentintent", "export_refund"]},
    "operator": {
        "orders": ["export_order"],
        "payments": ["export_paymentintent", "export_refund"],
        "messaging": ["export_delivery"],
    },
}
"""Nothing for support and the warehouse, who look at one order at a time; a list of orders has all addresses."""


def grant(apps, schema_editor):
    """
    Let the groups export what they work with as lists; where the shop has taken from them the permission to view it,
    leave them alone.
    """
    alias = schema_editor.connection.alias
    for app in installed.get_app_configs():
        create_permissions(app, verbosity=0, using=alias)
    Group, Permission = apps.get_model("auth", "Group"), apps.get_model("auth", "Permission")
    for name, codenames_by_app in EXPORTS.items():
        for app, codenames in codenames_by_app.items():
            of_app = Permission.objects.using(alias).filter(content_type__app_label=app)
            for codename in codenames:
                viewed = of_app.filter(codename=codename.replace("export_", "view_"))
                for group in Group.objects.using(alias).filter(name=name, permissions__in=viewed):
                    group.permissions.add(*of_app.filter(codename=codename))


class Migration(migrations.Migration):
    dependencies = [("shop", "0011_users_by_beginnings")]

    operations = [migrations.RunPython(grant, migrations.RunPython.noop)]
