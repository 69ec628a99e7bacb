"""The environment of the processes under test: short times, and mail that is not sent."""

from pathlib import Path

from tests.gateways import INSTANT
from tests.processes import database_url
from tests.programs import Cluster

WORKERS = 2
LEASE_SECONDS = 3
LIMIT_SECONDS = 2

ENVIRONMENT = {
    "DJANGO_SETTINGS_MODULE": "tests.concurrency.settings",
    "EMAIL_BACKEND": "django.core.mail.backends.dummy.EmailBackend",
    "EMAIL_TIMEOUT": "1",
    "PAYMENT_GATEWAY": INSTANT,
    "PAYMENT_TIMEOUT_SECONDS": "1",
    "RELAY_IN_WEB": "off",
    "MESSAGING_LEASE_SECONDS": str(LEASE_SECONDS),
    "MESSAGING_HANDLER_LIMIT_SECONDS": str(LIMIT_SECONDS),
}


def make_cluster(folder: Path, *, workers: int = WORKERS, **changes: str) -> Cluster:
    """Return a cluster of workers on the test database, with these changes of its environment."""
    environment = ENVIRONMENT | {"DATABASE_URL": database_url()} | changes
    return Cluster(folder / "cluster.log", workers=workers, environment=environment)
