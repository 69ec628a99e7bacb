"""A digest of every table, to check that a refused request changed no row."""

from collections.abc import Iterable
from hashlib import sha256
from typing import NamedTuple

from django.db import connection
from django.db.backends.utils import CursorWrapper


class TableDigest(NamedTuple):
    rows: int
    digest: str


def snapshot(*, without: frozenset[str] = frozenset()) -> dict[str, TableDigest]:
    """Return a digest of every table of the installed apps that has rows, except those named."""
    tables = sorted(set(connection.introspection.django_table_names()) - without)
    with connection.cursor() as cursor:
        return {table: _read(table, cursor) for table in _filled(tables, cursor)}


def _filled(tables: Iterable[str], cursor: CursorWrapper) -> list[str]:
    """Return the tables that have a row, by a single statement."""
    each = (f"SELECT '{table}' WHERE EXISTS (SELECT 1 FROM {table})" for table in tables)
    cursor.execute(" UNION ALL ".join(each))
    return [table for (table,) in cursor]


def _read(table: str, cursor: CursorWrapper) -> TableDigest:
    cursor.execute(f"SELECT * FROM {table}")
    rows = sorted(map(repr, cursor))
    return TableDigest(len(rows), sha256("\n".join(rows).encode()).hexdigest())
