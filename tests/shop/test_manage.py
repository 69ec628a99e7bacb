import pytest

from tests.processes import manage, run


def said(*arguments: str, database: str) -> tuple[int, list[str]]:
    """
    Run manage.py as its user would, and return its exit status and what it complains of, line by line.
    """
    finished = run(manage(*arguments), DATABASE_URL=database, DEBUG="on")
    return finished.status, finished.errors.splitlines()


class TestManage:
    def test_advises_to_migrate_a_database_without_tables(self, tmp_path):
        database = f"sqlite:///{tmp_path}/young.sqlite3"

        assert said("list_dead_letters", database=database) == (
            1,
            ["The database says: no such table: messaging_delivery. Run manage.py migrate."],
        )

    @pytest.mark.parametrize(
        ("database", "reason"),
        [
            ("sqlite:////no/such/folder/shop.sqlite3", "unable to open database file"),
            ("postgres://shop@127.0.0.1:1/shop", "connection failed: "),
        ],
    )
    def test_advises_to_look_at_a_database_that_cannot_be_had(self, database, reason):
        status, [complaint] = said("up", "--port=0", database=database)

        assert status == 1
        assert complaint.startswith(f"The database says: {reason}")
        assert complaint.endswith("See that DATABASE_URL names a database that runs and may be opened.")

    def test_tells_everything_with_traceback(self, tmp_path):
        status, lines = said("drain", "--traceback", database=f"sqlite:///{tmp_path}/young.sqlite3")

        assert status == 1
        assert lines[0] == "Traceback (most recent call last):"
        assert lines[-1] == "django.db.utils.OperationalError: no such table: messaging_delivery"
