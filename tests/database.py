"""The reset of the database after a test with real transactions, and the end of other connections."""

from django.db import DEFAULT_DB_ALIAS, connection, connections, transaction
from django.test import TransactionTestCase

FILLED_BY_MIGRATE = {"auth_permission", "django_content_type", "django_q_schedule"}


def delete_rows_after_transactional_tests() -> None:
    """
    Make Django reset the database by DELETE, except the rows that `migrate` creates. Its own TRUNCATE takes up to a
    second on PostgreSQL.
    """
    TransactionTestCase._fixture_teardown = lambda _: delete_rows()


def delete_rows() -> None:
    tables = sorted(set(connection.introspection.django_table_names(only_existing=True)) - FILLED_BY_MIGRATE)
    with transaction.atomic(), connection.cursor() as cursor:
        for table in tables:
            cursor.execute(f"DELETE FROM {connection.ops.quote_name(table)}")


def drop_other_connections(alias: str = DEFAULT_DB_ALIAS) -> int:
    """
    End every other session at a database, as a server does that is restarted, and return how many; SQLite has none.
    """
    if connections[alias].vendor != "postgresql":
        return 0
    with connections[alias].cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        return len(cursor.fetchall())
