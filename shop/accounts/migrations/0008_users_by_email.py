from django.db import migrations

from messaging.kernel.indexes import concurrently, drop

INDEX = "users_by_email"


def create(apps, schema_editor):
    """
    Index users by their address in any case: by it a forgotten password is reset.
    """
    drop(schema_editor, INDEX)
    schema_editor.execute(f"CREATE INDEX {concurrently(schema_editor)}{INDEX} ON auth_user (lower(email))")


def remove(apps, schema_editor):
    drop(schema_editor, INDEX)


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("shop", "0007_confirmations"), ("auth", "0012_alter_user_first_name_max_length")]

    operations = [migrations.RunPython(create, remove)]
