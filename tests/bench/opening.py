"""
Opens a measured service: `python -m tests.bench.opening` with its environment migrates its database and adds products
and stock, and writes customers with a token each if the accounts are here.
"""

import json
import sys

import django

django.setup()

from django.apps import apps  # noqa: E402
from django.core.management import call_command  # noqa: E402

from .products import open_shop  # noqa: E402

CALLERS = 20


def main() -> None:
    call_command("migrate", verbosity=0)
    open_shop()
    if apps.is_installed("orders"):
        from .web import make_callers

        json.dump(make_callers(CALLERS, signing=False), sys.stdout)


if __name__ == "__main__":
    main()
