"""
Operations of migrations that add and remove indexes, on PostgreSQL without blocking writes. Such a migration is not
atomic, and may be repeated after a crash.
"""

from typing import Any

from django.db import migrations


class AddIndexConcurrently(migrations.AddIndex):
    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        model = to_state.apps.get_model(app_label, self.model_name)
        is_postgres = schema_editor.connection.vendor == "postgresql"
        drop(schema_editor, self.index.name)  # a build that was interrupted leaves an invalid index
        schema_editor.add_index(model, self.index, **({"concurrently": True} if is_postgres else {}))


class RemoveIndexConcurrently(migrations.RemoveIndex):
    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        drop(schema_editor, str(self.name))


def drop(schema_editor: Any, name: str) -> None:
    """
    Drop an index if it exists.
    """
    schema_editor.execute(f"DROP INDEX {concurrently(schema_editor)}IF EXISTS {name}")


def concurrently(schema_editor: Any) -> str:
    """
    Return the word that keeps PostgreSQL from blocking writes, for a statement about an index.
    """
    return "CONCURRENTLY " if schema_editor.connection.vendor == "postgresql" else ""
