"""The settings of a fuzz run: no throttling, no long polling, a fast password hasher and a database of its own."""

import os
import tempfile
from dataclasses import replace
from pathlib import Path

from shop.settings import *  # noqa: F403
from shop.settings import DATABASES, MESSAGING, ORDERS, PAYMENTS, SQLITE
from shop.settings.groups import SIMULATED_GATEWAY, ThrottlingSettings

name = f"shop_fuzz_{os.getpid()}"
DATABASES["default"]["TEST"] = {"NAME": str(Path(tempfile.gettempdir()) / f"{name}.sqlite3") if SQLITE else name}

DEBUG = False
MESSAGING = replace(MESSAGING, relay_in_web=False)
ALLOWED_HOSTS = ["testserver"]
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = False
STORAGES = {"staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
ORDERS = replace(ORDERS, follow_seconds=0)
PAYMENTS = replace(PAYMENTS, gateway=SIMULATED_GATEWAY, simulator_in_web=False)
THROTTLING = ThrottlingSettings(
    account_per_minute=0, address_per_minute=0, failures_per_minute=0, failed_logins_per_quarter_hour=0
)
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
LOGGING = {
    "version": 1,
    "handlers": {"null": {"class": "logging.NullHandler"}},
    "root": {"handlers": ["null"]},
    "loggers": {"django": {"handlers": []}},
}
