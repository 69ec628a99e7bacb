"""The pipelines under comparison, and what is equal in all of them."""

import sys
from pathlib import Path

SHOP, ONE_BY_ONE = "This shop", "One by one"
CELERY, EARLY_CELERY, HANDLERS = "Celery", "Celery, early acks", "Celery, our handlers"

OVER_CELERY = {
    CELERY: {"CELERY_TASKS": "tests.bench.compare.tasks", "CELERY_ACKS_LATE": "1"},
    EARLY_CELERY: {"CELERY_TASKS": "tests.bench.compare.tasks", "CELERY_ACKS_LATE": "0"},
    HANDLERS: {"CELERY_TASKS": "tests.bench.compare.handler_tasks", "CELERY_ACKS_LATE": "1"},
}
"""The variables of the pipelines over Celery."""

WORKERS = 2
LIBRARIES = Path(sys.prefix) / "compare"
"""Where `make bench BENCH=--compare` installs Celery. Only the processes of its pipeline import it."""
