"""
The shop over Celery and Redis instead of its outbox: what it publishes becomes tasks, sent by `.delay()` after the
commit.

CELERY_TASKS is the module with the tasks. CELERY_ACKS_LATE=0 leaves Celery's default: a task is acknowledged before it
runs.
"""

import gc
import os
from importlib import import_module

from celery import Celery
from celery.signals import worker_process_init, worker_ready
from django.apps import AppConfig

TASKS = os.environ["CELERY_TASKS"]
ACKS_LATE = os.environ["CELERY_ACKS_LATE"] == "1"

app = Celery("shop", broker=os.environ["CELERY_BROKER_URL"])
app.conf.update(
    # As Celery's guides advise for short tasks whose results nothing reads.
    task_ignore_result=True,
    worker_prefetch_multiplier=4,
    task_acks_late=ACKS_LATE,
    task_reject_on_worker_lost=ACKS_LATE,
    worker_redirect_stdouts=False,
    broker_connection_retry_on_startup=True,
    # A killed worker's tasks come back after 10 s; by default after an hour, looked for every 100 s.
    broker_transport_options={
        "visibility_timeout": 10,
        "unacked_restore_interval": 1,
        "unacked_restore_throttle": 1,
    },
    # Otherwise each task opens a connection to the database.
    CELERY_DB_REUSE_MAX=1_000_000,
)


class CeleryPipeline(AppConfig):
    """First of INSTALLED_APPS: its `ready` runs before a handler imports `publish_all`."""

    name = "tests.bench.compare"

    def ready(self) -> None:
        from messaging import outbox

        outbox.publish_all = import_module(TASKS).publish_all


@worker_process_init.connect
def freeze(**_: object) -> None:
    """Examine loaded code in no collection, as the shop's workers do."""
    gc.freeze()


@worker_ready.connect
def report(**_: object) -> None:
    print("ready", flush=True)  # noqa: T201
