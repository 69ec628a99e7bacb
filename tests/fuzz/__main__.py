"""
Send mutated requests to every route: `make fuzz`, or `python -m tests.fuzz`.

FUZZ_REQUESTS is their number (20,000), FUZZ_SEED the seed. They are sent to a database of their own where DATABASE_URL
says and, if that is not SQLite, to one of SQLite: no response may have a status of 500 or above, each error must be a
well-formed problem, and both databases must give the same status. Exit status: 0 if so, 1 if not.
"""

import os
import secrets
import sys

import django


def main() -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.fuzz.settings")
    django.setup()
    from tests.fuzz.comparison import compare

    number = int(os.environ.get("FUZZ_REQUESTS", "20000"))
    seed = int(os.environ.get("FUZZ_SEED") or secrets.randbelow(10**9))
    print(f"FUZZ_SEED={seed} FUZZ_REQUESTS={number}", flush=True)  # noqa: T201
    report = compare(number, seed=seed, database_url=os.environ.get("DATABASE_URL", ""))
    print(report.summary())  # noqa: T201
    return 1 if report.faults else 0


if __name__ == "__main__":
    sys.exit(main())
