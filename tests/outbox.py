"""
What was announced and at what cost, as tests read it; and a database that fails when a test wants it to.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from django.db import connection
from django.test.utils import CaptureQueriesContext

from messaging.contracts import Event, decode
from messaging.models import OutboxMessage


def published(event: type[Event]) -> list[Event]:
    """
    List every event of this type that was announced, oldest first.
    """
    messages = OutboxMessage.objects.filter(type=event.type).order_by("id")
    return [decode(message.type, message.payload) for message in messages]


def announced() -> Mapping[str, int]:
    """
    Count what was announced, by type.
    """
    types = list(OutboxMessage.objects.values_list("type", flat=True))
    return {type_: types.count(type_) for type_ in sorted(set(types))}


def counting_statements() -> CaptureQueriesContext:
    """
    Count the statements of the block by its `len`.
    """
    return CaptureQueriesContext(connection)


def allowed_for_a_hundredfold(statements: int) -> int:
    """
    Tell how many statements a set may cost when one of a hundredth costs so many: the same, but for SQLite's bulk
    statements, which carry 999 values each.
    """
    return statements if connection.vendor == "postgresql" else 4 * statements


@contextmanager
def full_disk_at(table: str) -> Iterator[None]:
    """
    Have the database fail whenever a row is written to this table.
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
