"""
Published events, the cost in statements, and a database that rejects rows.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from django.db import connection
from django.test.utils import CaptureQueriesContext

from messaging.contracts import Event, decode
from messaging.models import OutboxMessage


def published(event: type[Event]) -> list[Event]:
    """
    Return the published events of this type, oldest first.
    """
    messages = OutboxMessage.objects.filter(type=event.type).order_by("id")
    return [decode(message.type, message.payload) for message in messages]


def announced() -> Mapping[str, int]:
    """
    Return the number of published events by type.
    """
    types = list(OutboxMessage.objects.values_list("type", flat=True))
    return {type_: types.count(type_) for type_ in sorted(set(types))}


def counting_statements() -> CaptureQueriesContext:
    """
    Return a context manager whose `len` is the number of statements in its block.
    """
    return CaptureQueriesContext(connection)


def allowed_for_a_hundredfold(statements: int) -> int:
    """
    Return the maximum of statements for a batch, given those for a hundredth of it: the same on PostgreSQL, more on
    SQLite, whose bulk statements carry 999 values each.
    """
    return statements if connection.vendor == "postgresql" else 4 * statements


@contextmanager
def full_disk_at(table: str) -> Iterator[None]:
    """
    Make each insert into this table fail during the block.
    """
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql"
                " AS $$ BEGIN RAISE EXCEPTION 'The disk is full.'; END $$"
            )
            cursor.execute(f"CREATE TRIGGER full_disk BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION refuse()")
        else:
            refuse = "BEGIN SELECT RAISE(ABORT, 'The disk is full.'); END"
            cursor.execute(f"CREATE TRIGGER full_disk BEFORE INSERT ON {table} {refuse}")
        yield
        cursor.execute("DROP TRIGGER full_disk" + (f" ON {table}" if connection.vendor == "postgresql" else ""))
