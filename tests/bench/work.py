"""The work that a shop and its payment gateway have done, so that no figure is published for work that was not done."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from uuid import UUID

from django.utils import timezone

from inventory.models import Reservation
from messaging.claims import lease, subscribers_with_work
from messaging.contracts import event_types
from messaging.models import Delivery, OutboxMessage
from messaging.sending import TRANSPORT
from notifications.models import Notification
from orders.models import Order
from payments.models import PaymentIntent, WebhookEvent
from shop.operations.databases import all_aliases, home_of, subscribers_elsewhere
from tests.waiting import eventually

PATIENCE_SECONDS = 3600

MAIL_KINDS = ("order_received", "order_confirmed")
"""The mails of each order."""

NEVER_DONE = {"webhooks refused", "mails of other kinds", "dead letters", "events sent and not received"}

LEDGER_ENTRIES = "SELECT count(*) FROM entries WHERE kind = ? AND reason LIKE ?"


def wait_until_delivered() -> None:
    """Wait until everything due is delivered."""
    horizon = 2 * lease()  # a claimed delivery is due when its lease ends
    eventually(lambda: not subscribers_with_work(timezone.now() + horizon), within=PATIENCE_SECONDS)


def wait_until_services_are_idle() -> None:
    """Wait until each service has received what others sent to it, and everything due is delivered in all of them."""
    eventually(lambda: _are_idle() and _are_idle(), within=PATIENCE_SECONDS, every=0.2)


def wait_for_mails(before: Mapping[str, int], ledger: Path | None = None, *, orders: int) -> None:
    """
    Wait until every mail was accepted of each order placed since `before`, an earlier `count_work`.

    :param ledger: the payment simulator's, if it is the gateway.
    :raises AssertionError: if the shop refused a webhook, whose payment would only succeed by reconciliation.
    """
    expected = {kind: before[f"mails accepted: {kind}"] + orders for kind in MAIL_KINDS}

    def are_accepted() -> bool:
        assert not ledger or _refused_webhooks(ledger) == before["webhooks refused"], "The shop refused a webhook."
        return all(_accepted_mails(kind) >= expected[kind] for kind in MAIL_KINDS)

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
        **{f"mails accepted: {kind}": _accepted_mails(kind) for kind in MAIL_KINDS},
        "mails of other kinds": Notification.objects.exclude(kind__in=MAIL_KINDS).count(),
        "stock shipped": Reservation.objects.filter(status="committed").count(),
        "dead letters": sum(Delivery.objects.using(alias).dead().count() for alias in all_aliases()),
        "events sent and not received": _events_between_services(),
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


def _are_idle() -> bool:
    due = timezone.now() + 2 * lease()
    return not _events_between_services() and not any(
        Delivery.objects.using(alias).due(due).exists() for alias in all_aliases()
    )


def _events_between_services() -> int:
    """Return how many events some services have sent that are not in the inbox of one that subscribes to them."""
    routes = {
        (event.type, home, alias)
        for event in event_types().values()
        if (home := home_of(event.type))
        for _, alias in subscribers_elsewhere(event)
    }
    return sum(len(_sent(type_, home) - _ids(type_, alias)) for type_, home, alias in routes)


def _sent(type_: str, alias: str) -> set[UUID]:
    return _ids(type_, alias, deliveries__subscriber=TRANSPORT, deliveries__status="delivered")


def _ids(type_: str, alias: str, **chosen: str) -> set[UUID]:
    return set(OutboxMessage.objects.using(alias).filter(type=type_, **chosen).values_list("pk", flat=True))


def _accepted_mails(kind: str) -> int:
    return Notification.objects.filter(kind=kind, status="accepted").count()


def _refused_webhooks(ledger: Path) -> int:
    return _ledger_entries(ledger, "answered", reason="refused")


def _ledger_entries(ledger: Path, kind: str, *, reason: str = "%") -> int:
    with closing(sqlite3.connect(ledger, timeout=20)) as connection:
        [(number,)] = connection.execute(LEDGER_ENTRIES, [kind, reason])
    return number
