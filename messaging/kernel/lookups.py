"""
Comparison with a list of values, which is one parameter on PostgreSQL: an array. The driver and the server read it
faster than as many parameters. And comparison byte by byte, for searches by the beginning of a text.
"""

from collections.abc import Sequence
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Field, Func, Q, TextField
from django.db.models.fields.related import ForeignObject
from django.db.models.lookups import GreaterThanOrEqual, In, LessThan
from django.db.models.sql.compiler import SQLCompiler

from .databases import placeholders

LAST_CHARACTER = "\U0010ffff"


class Bytewise(Func):
    """
    A text that is compared and indexed byte by byte, whatever the collation of the database. An index of it finds texts
    by their beginning, on both databases.
    """

    template = '(%(expressions)s COLLATE "C")'
    output_field = TextField()

    def as_sqlite(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **context: Any) -> Any:
        return super().as_sql(compiler, connection, template="(%(expressions)s)", **context)


def begins_with(text: Bytewise, beginning: str) -> Q:
    """
    Return the condition that a text begins with another, which an index of the text can answer.
    """
    return Q(GreaterThanOrEqual(text, beginning)) & Q(LessThan(text, beginning + LAST_CHARACTER))


class EqualsAny(In):
    """
    `filter(pk__any=ids)` is `filter(pk__in=ids)` for values, not for subqueries.

    A statement with 200 UUIDs takes 0.6 ms less Python than with 200 parameters.
    """

    lookup_name = "any"
    prepare_rhs = False

    def as_postgresql(self, compiler: SQLCompiler, database: BaseDatabaseWrapper) -> tuple[str, Sequence[Any]]:
        values = list(self.rhs)
        if not values:
            raise EmptyResultSet
        column, params = self.process_lhs(compiler, database)
        return f"{column} = ANY(%s)", [*params, values]


def register() -> None:
    """
    Register the lookups for all fields, foreign keys included.
    """
    Field.register_lookup(EqualsAny)
    ForeignObject.register_lookup(EqualsAny)


def equals_any(column: str, values: Sequence[Any]) -> tuple[str, Sequence[Any]]:
    """
    Return the condition of a plain statement that a column equals one of these values, and its parameters.
    """
    if connection.vendor == "postgresql":
        return f"{column} = ANY(%s)", [list(values)]
    return f"{column} IN ({placeholders(values)})", values
