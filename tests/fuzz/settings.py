"""
The shop's settings for a run of the fuzz: nobody is throttled or waited for, logging in is cheap, and the database is
one of its own.
"""

import os
import tempfile
from pathlib import Path

from shop.settings import *  # noqa: F403
from shop.settings import DATABASES, ORDERS, PAYMENTS, SIMULATOR, SQLITE, THROTTLING

name = f"shop_fuzz_{os.getpid()}"
DATABASES["default"]["TEST"] = {"NAME": str(Path(tempfile.gettempdir()) / f"{name}.sqlite3") if SQLITE else name}

DEBUG = RELAY_IN_WEB = SIMULATOR_IN_WEB = False
ALLOWED_HOSTS = ["testserver"]
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = False
STORAGES = {"staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
ORDERS = ORDERS | {"FOLLOW_SECONDS": 0}
PAYMENTS = PAYMENTS | {"GATEWAY": SIMULATOR}
THROTTLING = dict.fromkeys(THROTTLING, 0)
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
LOGGING = {
    "version": 1,
    "handlers": {"null": {"class": "logging.NullHandler"}},
    "root": {"handlers": ["null"]},
    "loggers": {"django": {"handlers": []}},
}
