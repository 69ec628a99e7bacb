"""The settings of a shop whose events are Celery's tasks."""

from tests.bench.settings import *  # noqa: F403
from tests.bench.settings import INSTALLED_APPS

INSTALLED_APPS = ["tests.bench.compare.celery_app.CeleryPipeline", *INSTALLED_APPS]
