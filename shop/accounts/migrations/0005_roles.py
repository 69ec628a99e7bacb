from django.apps import apps as installed
from django.contrib.auth.management import create_permissions
from django.db import migrations

SUPPORT = {
    "orders": [
        *("view_product", "view_order", "view_orderline", "view_historyentry", "view_orderrefund"),
        *("change_order", "add_ordernote"),  # cancel
    ],
    "payments": ["view_paymentintent", "view_refund", "change_paymentintent"],  # ask the gateway
    "inventory": ["view_stockitem", "view_reservation", "view_reservationline"],
    "notifications": [
        *("view_notification", "view_suppression"),
        *("change_notification", "delete_suppression"),  # send again, lift
    ],
    "auth": ["view_user"],
    "shop": ["view_account"],
}
WAREHOUSE = {
    "inventory": [
        *("view_stockitem", "view_reservation", "view_reservationline", "view_stockmovement"),
        "change_stockitem",  # receive and withdraw
    ],
}
FINANCE = {
    "orders": ["view_order", "view_orderline", "view_historyentry", "view_orderrefund", "add_ordernote"],
    "payments": [
        *("view_paymentintent", "view_capture", "view_refund", "view_webhookevent", "view_reconciliation"),
        *("add_refund", "change_paymentintent"),
    ],
}
OPERATOR = {
    "orders": [*SUPPORT["orders"], "add_product", "change_product"],
    "payments": FINANCE["payments"],
    "inventory": WAREHOUSE["inventory"],
    "notifications": SUPPORT["notifications"],
    "messaging": [
        *("view_outboxmessage", "view_delivery", "view_attempt", "view_worker", "view_receiverstate"),
        "change_delivery",  # replay and discard
        *("add_operatorpause", "delete_operatorpause"),
    ],
    "auth": ["view_user"],
    "shop": ["view_account", "view_token", "delete_token", "view_signingkey", "change_signingkey"],
}
ROLES = {"support": SUPPORT, "warehouse": WAREHOUSE, "finance": FINANCE, "operator": OPERATOR}


def create_roles(apps, schema_editor):
    """
    Create the groups that do not exist; leave those alone that do. Django creates permissions after all migrations,
    which is too late here.
    """
    alias = schema_editor.connection.alias
    for app in installed.get_app_configs():
        create_permissions(app, verbosity=0, using=alias)
    Group, Permission = apps.get_model("auth", "Group"), apps.get_model("auth", "Permission")
    for name, codenames_by_app in ROLES.items():
        group, is_new = Group.objects.using(alias).get_or_create(name=name)
        for app, codenames in codenames_by_app.items() if is_new else ():
            permissions = Permission.objects.using(alias).filter(content_type__app_label=app, codename__in=codenames)
            group.permissions.add(*permissions)


class Migration(migrations.Migration):
    dependencies = [
        ("shop", "0004_account_language"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [migrations.RunPython(create_roles, migrations.RunPython.noop)]
