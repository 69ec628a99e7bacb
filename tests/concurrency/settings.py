"""
The shop's settings for real workers under test: one more app, whose subscriber does what the event says, and a log that
names the role of each process of django-q2.
"""

from shop.settings import *  # noqa: F403
from shop.settings import INSTALLED_APPS, LOGGING

INSTALLED_APPS = [*INSTALLED_APPS, "tests.concurrency.scripted"]
LOGGING["loggers"]["django-q"]["level"] = "INFO"
