#!/usr/bin/env python
import os
import sys

from django.core.management import execute_from_command_line
from django.db import OperationalError, ProgrammingError


def main() -> None:
    """
    Run a command; report a database error in one sentence, or with --traceback in full.
    """
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
    try:
        execute_from_command_line(sys.argv)
    except (OperationalError, ProgrammingError) as error:
        if "--traceback" in sys.argv:
            raise
        reason, _, _ = str(error).partition("\n")
        sys.exit(f"Database error: {reason}. {advice(error)}")


def advice(error: OperationalError | ProgrammingError) -> str:
    """
    Return advice for a missing table or an unreachable database; PostgreSQL and SQLite raise different errors.
    """
    if isinstance(error, ProgrammingError) or str(error).startswith("no such"):
        return "Run manage.py migrate."
    return "Check that DATABASE_URL names a database that is running and accessible."


if __name__ == "__main__":
    main()
