"""
The faults of `up --demo --faults`: a shop that is broken on purpose, for operators who practise repairs.

Each fault is real, concerns orders of customers of its own, and ends with the operator's repair:
docs/tutorial/repair-a-shop.md describes them.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path

from django.contrib.auth.models import User
from django.db import connections, transaction
from django.utils import timezone
from django_q.models import Schedule

from messaging.contracts import OrderConfirmed
from messaging.models import Delivery
from messaging.outbox import message_of
from messaging.status import workers_of_this_machine
from messaging.subscribers import Permanent, Reaction, wrap
from shop.server.mail_server import running_mail_server

MAIL_REJECTED = "mia@example.com"
"""The mail server rejects the first mail to her."""

TEMPLATE_BROKEN = ("tom@example.com", "tess@example.com", "tina@example.com")
"""The confirmation of their orders cannot be written until its dead letter is replayed."""

WEBHOOK_LOST = "walter@example.com"
"""He has paid, but the provider never calls back."""

REFUND_REFUSED = "rita@example.com"
"""The provider refuses the first refund of her order."""

ORDERS = [
    (MAIL_REJECTED, "TEA-CUPS-6", "tok_visa"),
    *((email, "BREAD-BOARD", "tok_visa") for email in TEMPLATE_BROKEN),
    (WEBHOOK_LOST, "COPPER-KETTLE", "tok_never"),
    (REFUND_REFUSED, "WALL-CLOCK", "tok_refund_declined"),
]
CONFIRMATION = "notifications.send_confirmation"
RECONCILIATION = "payments.reconciliation.reconcile_lately"

PATIENCE_SECONDS = 180
POLL_SECONDS = 0.2


class TemplateBroken(Permanent):
    """
    The text of a message cannot be written.
    """


class NotBroken(Exception):
    """
    The shop did not get into the state in which it can be broken.
    """


def break_confirmations() -> None:
    """
    Have the subscriber that writes confirmations fail for the orders of `TEMPLATE_BROKEN`, in this process.
    """
    wrap(CONFIRMATION, _failing_until_replayed)


@contextmanager
def broken_mail_server() -> Iterator[dict[str, str]]:
    """
    Run a mail server that rejects the first mail to `MAIL_REJECTED`; yield the environment variables of a shop that
    uses it. Call it before the workers start: it postpones the reconciliation, which would repair the lost webhook.
    """
    Schedule.objects.filter(func=RECONCILIATION).update(next_run=timezone.now() + timedelta(hours=1))
    connections.close_all()
    with running_mail_server(rejected={MAIL_REJECTED}) as port:
        backend = "django.core.mail.backends.smtp.EmailBackend"
        yield {"EMAIL_BACKEND": backend, "EMAIL_HOST": "127.0.0.1", "EMAIL_PORT": str(port), "SHOP_FAULTS": "on"}


@contextmanager
def broken_orders(process_group: int) -> Iterator[None]:
    """
    Place the orders that meet faults, have one refunded, and freeze a worker during the block.

    :param process_group: that of the workers.
    :raises NotBroken: if the shop does not take the orders within three minutes.
    """
    _place_orders(timezone.now())
    with _frozen(_worker_of(process_group)):
        connections.close_all()
        yield


def _failing_until_replayed(react: Reaction) -> Reaction:
    def failing(events: Sequence[OrderConfirmed]) -> None:
        for event in events:
            if event.email in TEMPLATE_BROKEN and not _was_replayed(event):
                raise TemplateBroken(f"The template of the confirmation of order {event.number} ends within a block.")
        react(events)

    return failing


def _was_replayed(event: OrderConfirmed) -> bool:
    deliveries = Delivery.objects.filter(message_id=message_of(event).message_id, subscriber=CONFIRMATION)
    return deliveries.filter(resolution__isnull=False).exists()


def _place_orders(now: datetime) -> None:
    from orders.drafts import Draft, DraftLine
    from orders.placing import PlacedOrder, place_orders
    from payments import refunds
    from payments.models import Capture

    drafts = [
        Draft(
            customer_id=_customer(email).pk,
            lines=[DraftLine(sku=sku, quantity=2)],
            payment_method=payment_method,
            email=email,
            idempotency_key=f"fault-{email}-{now:%Y%m%d%H%M%S%f}",
        )
        for email, sku, payment_method in ORDERS
    ]
    placed = [order for order in place_orders(drafts, now=now) if isinstance(order, PlacedOrder)]
    if len(placed) < len(drafts):
        raise NotBroken("A demo product is sold out. Start with a new database.")
    refused = placed[-1].order
    _wait_for("the payment that is to be refunded", Capture.objects.filter(intent__order_id=refused.pk).exists)
    refunds.refund(str(refused.pk), reason="The clock arrived broken.", now=timezone.now())
    _wait_for("the end of all deliveries", lambda: not Delivery.objects.due(timezone.now()).exists())


def _customer(email: str) -> User:
    customer, _ = User.objects.get_or_create(username=email.partition("@")[0], defaults={"email": email})
    return customer


def _wait_for(what: str, is_there: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not is_there():
        if time.monotonic() > end:
            raise NotBroken(f"There is no sign of {what} after {PATIENCE_SECONDS} s.")
        time.sleep(POLL_SECONDS)


def _worker_of(process_group: int) -> int:
    """
    Return the process of a worker in this group.
    """
    ours = [worker.process for worker in workers_of_this_machine() if _group_of(worker.process) == process_group]
    if not ours:
        raise NotBroken("No worker runs that could be frozen.")
    return ours[0]


@contextmanager
def _frozen(process: int) -> Iterator[None]:
    group = _group_of(process)
    # On SQLite this is the only write transaction: the worker is not frozen within one, which would lock the database.
    with transaction.atomic():
        os.kill(process, signal.SIGSTOP)
        _wait_for("the stop of a worker", lambda: _is_stopped(process))
    try:
        yield
    finally:
        if _group_of(process) == group:
            os.kill(process, signal.SIGCONT)


def _is_stopped(process: int) -> bool:
    """
    Return whether every thread of a process is stopped, which is some time after the signal.
    """
    threads = Path(f"/proc/{process}/task").glob("*/stat")
    states = [thread.read_text().rpartition(")")[2].split()[0] for thread in threads]
    if states:
        return set(states) <= {"T", "t"}
    time.sleep(1)  # a system without /proc
    return True


def _group_of(process: int) -> int:
    """
    Return the group of a process, 0 if there is none.
    """
    with suppress(ProcessLookupError):
        return os.getpgid(process)
    return 0
