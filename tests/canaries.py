"""Texts that must not be found where no address belongs, such as an address that no test uses otherwise."""

from collections.abc import Collection

from django.db import connection


def tables_naming(texts: Collection[str]) -> set[str]:
    """Return the tables of the installed apps in which a row contains one of these texts."""
    tables = connection.introspection.django_table_names(only_existing=True)
    return {table for table in tables if any(text in _content(table) for text in texts)}


def _content(table: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {table}")
        values = [value for row in cursor.fetchall() for value in row]
    return "\n".join(str(bytes(value) if isinstance(value, memoryview) else value) for value in values)
