"""The environment of the processes under test: short times, mail that is not sent, and no SMS."""

from pathlib import Path

from tests.gateways import INSTANT
from tests.processes import database_url
from tests.programs import Cluster
from tests.smtp_faults import ALWAYS, DRIP, DROP, STALL, Fault, Stage

WORKERS = 2
LEASE_SECONDS = 3
LIMIT_SECONDS = 2

ENVIRONMENT = {
    "DJANGO_SETTINGS_MODULE": "tests.concurrency.settings",
    "EMAIL_BACKEND": "django.core.mail.backends.dummy.EmailBackend",
    "EMAIL_DEADLINE": "1",
    "PAYMENT_GATEWAY": INSTANT,
    "PAYMENT_TIMEOUT_SECONDS": "1",
    "SMS_BACKEND": "",
    "NOTIFICATIONS_PER_HOUR": "0",
    "NOTIFICATIONS_PER_RECIPIENT_PER_HOUR": "0",
    "RELAY_IN_WEB": "off",
    "MESSAGING_LEASE_SECONDS": str(LEASE_SECONDS),
    "MESSAGING_HANDLER_LIMIT_SECONDS": str(LIMIT_SECONDS),
}


MAIL_FAULTS = [
    Fault(Stage.MAIL, "421 4.3.2 Shutting down", times=ALWAYS, share=0.005),
    Fault(Stage.MAIL, DRIP, times=ALWAYS, share=0.002, pause=0.8),
    Fault(Stage.RCPT, "451 4.7.1 Try again later", times=ALWAYS, share=0.02),
    Fault(Stage.END_OF_DATA, "452 4.3.1 Full", times=ALWAYS, share=0.01),
    Fault(Stage.END_OF_DATA, DROP, times=ALWAYS, share=0.01),
    Fault(Stage.ACCEPTED, DROP, times=ALWAYS, share=0.015),
    Fault(Stage.ACCEPTED, STALL, times=ALWAYS, share=0.002),
]
"""Of a mail server that accepts each mail in the end."""


def make_cluster(folder: Path, *, workers: int = WORKERS, **changes: str) -> Cluster:
    """Return a cluster of workers on the test database, with these changes of its environment."""
    environment = ENVIRONMENT | {"DATABASE_URL": database_url()} | changes
    return Cluster(folder / "cluster.log", workers=workers, environment=environment)
