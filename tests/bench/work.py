"""The work that a shop and its payment gateway have done, so that no figure is published for work that was not done."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from django.utils import timezone

from messaging.claims import lease, subscribers_with_work
from messaging.models import Delivery
from notifications.models import Notification
from orders.models import Order
from payments.models import PaymentIntent, WebhookEvent
from tests.waiting import eventually

PATIENCE_SECONDS = 3600

NEVER_DONE = {"webhooks refused", "mails of other kinds", "dead letters"}

LEDGER_ENTRIES = "SELECT count(*) FROM entries WHERE kind = ? AND reason LIKE ?"


def wait_until_delivered() -> None:
    """Wait until everything due is delivered."""
    horizon = 2 * lease()  # a claimed delivery is due when its lease ends
    eventually(lambda: not subscribers_with_work(timezone.now() + horizon), within=PATIENCE_SECONDS)


def wait_for_mails(before: Mapping[str, int], ledger: Path, *, orders: int) -> None:
    """
    Wait until a confirmation mail was accepted for each order placed since `before`, an earlier `count_work`.

    :raises AssertionError: if the shop refused a webhook, whose payment would only succeed by reconciliation.
    """
    expected = before["confirmation mails accepted"] + orders

    def are_accepted() -> bool:
        assert _refused_webhooks(ledger) == before["webhooks refused"], "The shop refused a webhook."
        return _accepted_mails() >= expected

    eventually(are_accepted, within=PATIENCE_SECONDS, every=0.05)


def count_work(ledger: Path | None = None) -> Mapping[str, int]:
    """
    Return numbers of what was done, by their names.

    :param ledger: the payment simulator's, if it is the gateway.
    """
    return {
        "orders placed": Order.objects.count(),
        "orders confirmed": Order.objects.filter(status="confirmed").count(),
        **(_count_at_the_gateway(ledger) if ledger else {}),
        "payments succeeded": PaymentIntent.objects.filter(status="succeeded").count(),
        "confirmation mails accepted": _accepted_mails(),
        "mails of other kinds": Notification.objects.exclude(kind="order_confirmed").count(),
        "dead letters": Delivery.objects.filter(status="dead").count(),
    }


def require_work(before: Mapping[str, int], after: Mapping[str, int], *, orders: int) -> None:
    """
    Require that everything was done once for each order.

    :raises AssertionError: otherwise.
    """
    done = {name: after[name] - before[name] for name in after}
    expected = {name: 0 if name in NEVER_DONE else orders for name in done}
    wrong = {name: f"{done[name]} instead of {expected[name]}" for name in done if done[name] != expected[name]}
    assert not wrong, f"The work was not done as measured: {wrong}"


def _count_at_the_gateway(ledger: Path) -> Mapping[str, int]:
    return {
        "charges at the gateway": _ledger_entries(ledger, "charged"),
        "captures at the gateway": _ledger_entries(ledger, "captured"),
        "webhooks refused": _refused_webhooks(ledger),
        "webhooks stored": WebhookEvent.objects.count(),
        "webhooks processed": WebhookEvent.objects.filter(status="settled").count(),
    }


def _accepted_mails() -> int:
    return Notification.objects.filter(kind="order_confirmed", status="accepted").count()


def _refused_webhooks(ledger: Path) -> int:
    return _ledger_entries(ledger, "answered", reason="refused")


def _ledger_entries(ledger: Path, kind: str, *, reason: str = "%") -> int:
    with closing(sqlite3.connect(ledger, timeout=20)) as connection:
        [(number,)] = connection.execute(LEDGER_ENTRIES, [kind, reason])
    return number
