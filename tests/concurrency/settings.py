"""
The shop's settings for real worker processes under test: one more app, whose subscriber misbehaves on request, and
django-q2 telling which process does what.
"""

from shop.settings import *  # noqa: F403
from shop.settings import INSTALLED_APPS, LOGGING

INSTALLED_APPS = [*INSTALLED_APPS, "tests.concurrency.stunts"]
LOGGING["loggers"]["django-q"]["level"] = "INFO"
