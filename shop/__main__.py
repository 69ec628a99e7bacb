"""
The command line: `manage.py` of a checkout; `shop`, or `python -m shop`, where the shop is installed.
"""

import os
import sys

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import BaseCommand, ManagementUtility
from django.db import OperationalError, ProgrammingError

OF_OPERATORS = {"audit", "trace_order", "check"}
"""The commands that may run with the databases of all services."""


class Commands(ManagementUtility):
    def fetch_command(self, subcommand: str) -> BaseCommand:
        """
        Return a command. An operator's process has few.
        """
        command = super().fetch_command(subcommand)
        if subcommand not in OF_OPERATORS:
            try:
                settings.OPERATOR.refuse(f"run {subcommand}")
            except ImproperlyConfigured as error:
                sys.exit(str(error))
        return command


def main() -> None:
    """
    Run a command; report a database error in one sentence, or with --traceback in full.
    """
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
    try:
        Commands(sys.argv).execute()
    except (OperationalError, ProgrammingError) as error:
        if "--traceback" in sys.argv:
            raise
        reason, _, _ = str(error).partition("\n")
        sys.exit(f"Database error: {reason}. {advice(error)}")


def advice(error: OperationalError | ProgrammingError) -> str:
    """
    Return advice for a missing table or an unreachable database; PostgreSQL and SQLite raise different errors.
    """
    if settings.OPERATOR.is_set:
        return (
            "Check that ORDERS_DATABASE_URL and the other three name databases of their contexts that are running and "
            "accessible."
        )
    if isinstance(error, ProgrammingError) or str(error).startswith("no such"):
        return "Run manage.py migrate."
    return "Check that DATABASE_URL names a database that is running and accessible."


if __name__ == "__main__":
    main()
