import pytest

from tests.processes import manage, run


def run_manage(*arguments: str, database: str) -> tuple[int, list[str]]:
    """
    Run manage.py as a process and return its exit status and the lines of its errors.
    """
    finished = run(manage(*arguments), DATABASE_URL=database, DEBUG="on")
    return finished.status, finished.errors.splitlines()


class TestManage:
    def test_advises_to_migrate_a_database_without_tables(self, tmp_path):
        database = f"sqlite:///{tmp_path}/young.sqlite3"

        assert run_manage("list_dead_letters", database=database) == (
            1,
            ["Database error: no such table: messaging_delivery. Run manage.py migrate."],
        )

    @pytest.mark.parametrize(
        ("database", "reason"),
        [
            ("sqlite:////no/such/folder/shop.sqlite3", "unable to open database file"),
            ("postgres://shop@127.0.0.1:1/shop", "connection failed: "),
        ],
    )
    def test_advises_to_check_an_unreachable_database(self, database, reason):
        status, [complaint] = run_manage("up", "--port=0", database=database)

        assert status == 1
        assert complaint.startswith(f"Database error: {reason}")
        assert complaint.endswith("Check that DATABASE_URL names a database that is running and accessible.")

    def test_prints_everything_with_traceback(self, tmp_path):
        status, lines = run_manage("drain", "--traceback", database=f"sqlite:///{tmp_path}/young.sqlite3")

        assert status == 1
        assert lines[0] == "Traceback (most recent call last):"
        assert lines[-1] == "django.db.utils.OperationalError: no such table: messaging_worker"
