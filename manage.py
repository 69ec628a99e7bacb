#!/usr/bin/env python
import os
import sys

from django.core.management import execute_from_command_line
from django.db import OperationalError, ProgrammingError


def main() -> None:
    """
    Run the command that is asked for, and say in a sentence why the database does not let it.
    """
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
    try:
        execute_from_command_line(sys.argv)
    except (OperationalError, ProgrammingError) as error:
        if "--traceback" in sys.argv:
            raise
        reason, _, _ = str(error).partition("\n")
        sys.exit(f"The database says: {reason}. {advice(error)}")


def advice(error: OperationalError | ProgrammingError) -> str:
    """
    Tell a table that is missing from a database that cannot be had: PostgreSQL and SQLite call them differently.
    """
    if isinstance(error, ProgrammingError) or str(error).startswith("no such"):
        return "Run manage.py migrate."
    return "See that DATABASE_URL names a database that runs and may be opened."


if __name__ == "__main__":
    main()
