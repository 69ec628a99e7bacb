from django.db import migrations

from messaging.kernel.indexes import concurrently, drop


def create(apps, schema_editor):
    """
    Index users by what the admin finds them, by its beginning: the username, and the address and the last name in any
    case. And operators, to whom dead letters are assigned.
    """
    bytewise = ' COLLATE "C"' if schema_editor.connection.vendor == "postgresql" else ""
    indexes = {
        "users_by_username": f"(username{bytewise})",
        "users_by_beginning_of_email": f"((lower(email){bytewise}))",
        "users_by_beginning_of_last_name": f"((lower(last_name){bytewise}))",
        "staff_by_username": "(username) WHERE is_staff",
    }
    for name, columns in indexes.items():
        drop(schema_editor, name)
        schema_editor.execute(f"CREATE INDEX {concurrently(schema_editor)}{name} ON auth_user {columns}")


def remove(apps, schema_editor):
    for name in (
        "users_by_username",
        "users_by_beginning_of_email",
        "users_by_beginning_of_last_name",
        "staff_by_username",
    ):
        drop(schema_editor, name)


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("shop", "0010_sign_up_of_account"), ("auth", "0012_alter_user_first_name_max_length")]

    operations = [migrations.RunPython(create, remove)]
