"""
A digest of every table, to check that a refused request changed no row.
"""

from hashlib import sha256
from typing import NamedTuple

from django.db import connection


class TableDigest(NamedTuple):
    rows: int
    digest: str


def snapshot(*, without: frozenset[str] = frozenset()) -> dict[str, TableDigest]:
    """
    Return a digest of every table of the installed apps, except those named.
    """
    names = connection.introspection.django_table_names()
    return {name: _read(name) for name in sorted(names) if name not in without}


def _read(table: str) -> TableDigest:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
        rows = sorted(map(repr, cursor.fetchall()))
    return TableDigest(len(rows), sha256("\n".join(rows).encode()).hexdigest())
