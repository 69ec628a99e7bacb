"""
Everything that the database remembers, to see that a refused request changed none of it.
"""

from hashlib import sha256
from typing import NamedTuple

from django.db import connection


class Table(NamedTuple):
    rows: int
    digest: str


def snapshot(*, apart_from: frozenset[str] = frozenset()) -> dict[str, Table]:
    """
    Read every table of every installed app, but for those named.
    """
    names = connection.introspection.django_table_names()
    return {name: _read(name) for name in sorted(names) if name not in apart_from}


def _read(table: str) -> Table:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
        rows = sorted(map(repr, cursor.fetchall()))
    return Table(len(rows), sha256("\n".join(rows).encode()).hexdigest())
