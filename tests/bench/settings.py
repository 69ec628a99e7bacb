"""
The settings of a measured shop: mail is rendered and dropped, unless the environment names a backend, and no chore or
order falls due during a run.
"""

import os
from dataclasses import replace
from pathlib import Path

from shop.settings import *  # noqa: F403
from shop.settings import INSTALLED_APPS, LOGGING, ORDERS, Q_CLUSTER, SERVICE, STORAGES

INSTALLED_APPS = [*INSTALLED_APPS, "tests.bench"]
# The log names the role of each process of the cluster.
LOGGING["loggers"]["django-q"]["level"] = "INFO"
# The gateway calls back from this machine, with no proxy between.
SECURE_SSL_REDIRECT = False
STATIC_ROOT = Path(os.environ["BENCH_FOLDER"], "static", SERVICE.name)
# No page is measured, and services start sooner.
STORAGES = STORAGES | {"staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
# Hourly chores would run in one of the measured minutes.
Q_CLUSTER = Q_CLUSTER | {"scheduler": False}
EMAIL_BACKEND = os.environ.get("EMAIL_BACKEND", "django.core.mail.backends.dummy.EmailBackend")
ORDERS = replace(ORDERS, payment_due_seconds=7 * 86_400, reminder_seconds=6 * 86_400)
