"""
A paid order as tasks that were written for one order, as a team with Celery writes them: plain Django, the same tables
and rules, each step chained to the next by `.delay()` after its commit. A repeated task finds its step done and stops.

They do less than the shop's handlers: they keep no record of calls and attempts, check no caps, preferences or
suppressed recipients, and take a signed webhook as the gateway's answer.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from uuid import NAMESPACE_URL, uuid5

from django.conf import settings
from django.core.mail import get_connection
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from inventory.models import Reservation, ReservationLine, StockItem, StockMovement
from messaging.contracts import ConfirmedLine, Event, OrderPlaced, WebhookReceived
from notifications.facts import Facts
from notifications.mail import Mail
from notifications.models import Notification
from notifications.rendering import render_email
from orders.models import HistoryEntry, Order
from payments.charges.gateway_queries import charge_request
from payments.gateway import protocol
from payments.models import Capture, PaymentIntent, WebhookEvent

from .celery_app import app

RETRIED = {"autoretry_for": (Exception,), "max_retries": 20, "retry_backoff": 1, "retry_backoff_max": 30}


def publish_all(events: Sequence[Event], *, at: datetime | None = None) -> None:
    """Begin the chains: those of an order that was placed, and of a webhook that was received."""
    for event in events:
        match event:
            case OrderPlaced():
                transaction.on_commit(partial(reserve_stock.delay, event.order_id))
                transaction.on_commit(partial(send_mail.delay, event.order_id, "order_received"))
            case WebhookReceived():
                transaction.on_commit(partial(settle_webhook.delay, event.webhook_id))


@app.task(**RETRIED)
@transaction.atomic
def reserve_stock(order_id: str) -> None:
    order = Order.objects.select_for_update().get(pk=order_id)
    if order.status != Order.Status.PLACED:
        return
    lines = list(order.lines.all())
    stock = _locked_stock([line.sku for line in lines])
    for line in lines:
        if stock[line.sku].available < line.quantity:
            raise ValueError(f"Not enough {line.sku}.")
        StockItem.objects.filter(sku=line.sku).update(reserved=F("reserved") + line.quantity)
    now = timezone.now()
    reservation = Reservation.objects.create(order_id=order.pk, created_at=now)
    ReservationLine.objects.bulk_create(
        [ReservationLine(reservation=reservation, sku=line.sku, quantity=line.quantity) for line in lines]
    )
    _move(order, Order.Status.AWAITING_PAYMENT, now)
    transaction.on_commit(partial(charge.delay, order_id))


@app.task(**RETRIED)
def charge(order_id: str) -> None:
    order = Order.objects.get(pk=order_id)
    intent, _ = PaymentIntent.objects.get_or_create(
        order_id=order.pk,
        defaults={
            "customer_id": str(order.customer_id),
            "amount": order.total,
            "currency": order.currency,
            "payment_method": order.payment_method,
            "email": order.email,
            "number": order.number,
            "gateway": settings.PAYMENTS.gateway,
            "status": PaymentIntent.Status.PROCESSING,
            "created_at": timezone.now(),
        },
    )
    if intent.status == PaymentIntent.Status.PROCESSING:
        answer = protocol.at(intent.gateway).charge(charge_request(intent))  # its webhook reports the end
        PaymentIntent.objects.filter(pk=intent.pk).update(provider_reference=answer.reference, page=answer.page)


@app.task(**RETRIED)
@transaction.atomic
def settle_webhook(webhook_id: str) -> None:
    webhook = WebhookEvent.objects.select_for_update().get(pk=webhook_id)
    if webhook.status == WebhookEvent.Status.SETTLED:
        return
    intent = PaymentIntent.objects.select_for_update().get(pk=webhook.charge_key)
    now, claimed = timezone.now(), (webhook.amount, webhook.currency)
    if intent.is_open and webhook.outcome == "succeeded" and claimed == (intent.amount, intent.currency):
        PaymentIntent.objects.filter(pk=intent.pk).update(status=PaymentIntent.Status.SUCCEEDED)
        money = {"reference": webhook.reference, "amount": webhook.amount, "currency": webhook.currency}
        Capture.objects.create(intent=intent, captured_at=now, **money)
        transaction.on_commit(partial(confirm.delay, str(intent.order_id)))
    WebhookEvent.objects.filter(pk=webhook.pk).update(status=WebhookEvent.Status.SETTLED, settled_at=now)


@app.task(**RETRIED)
@transaction.atomic
def confirm(order_id: str) -> None:
    order = Order.objects.select_for_update().get(pk=order_id)
    if order.status != Order.Status.AWAITING_PAYMENT:
        return
    _move(order, Order.Status.CONFIRMED, timezone.now())
    transaction.on_commit(partial(ship.delay, order_id))
    transaction.on_commit(partial(send_mail.delay, order_id, "order_confirmed"))


@app.task(**RETRIED)
@transaction.atomic
def ship(order_id: str) -> None:
    reservation = Reservation.objects.select_for_update().get(order_id=order_id)
    if reservation.status != Reservation.Status.HELD:
        return
    now, lines = timezone.now(), list(reservation.lines.all())
    _locked_stock([line.sku for line in lines])
    for line in lines:
        counters = {"reserved": F("reserved") - line.quantity, "on_hand": F("on_hand") - line.quantity}
        StockItem.objects.filter(sku=line.sku).update(**counters)
    StockMovement.objects.bulk_create(
        [
            StockMovement(sku=line.sku, kind="shipped", quantity=-line.quantity, order_id=order_id, at=now)
            for line in lines
        ]
    )
    Reservation.objects.filter(pk=reservation.pk).update(status=Reservation.Status.COMMITTED, ended_at=now)


@app.task(**RETRIED)
def send_mail(order_id: str, kind: str) -> None:
    order, now = Order.objects.get(pk=order_id), timezone.now()
    subject, body, html = render_email(kind, _facts(order), order.language)
    mail, _ = Notification.objects.get_or_create(
        message_id=uuid5(NAMESPACE_URL, f"{kind}/{order_id}"),
        channel=Notification.Channel.EMAIL,
        recipient=order.email,
        defaults={
            "order_id": order.pk,
            "number": order.number,
            "customer_id": str(order.customer_id),
            "kind": kind,
            "language": order.language,
            "subject": subject,
            "body": body,
            "html": html,
            "created_at": now,
        },
    )
    if mail.status == Notification.Status.QUEUED:
        get_connection().send_messages([Mail(mail)])
        Notification.objects.filter(pk=mail.pk).update(status=Notification.Status.ACCEPTED, accepted_at=timezone.now())


def _locked_stock(skus: Sequence[str]) -> dict[str, StockItem]:
    return {item.sku: item for item in StockItem.objects.select_for_update().filter(sku__in=skus).order_by("sku")}


def _move(order: Order, status: str, now: datetime) -> None:
    HistoryEntry.objects.create(order=order, previous=order.status, status=status, at=now)
    Order.objects.filter(pk=order.pk).update(status=status)


def _facts(order: Order) -> Facts:
    lines = tuple(
        ConfirmedLine(sku=line.sku, name=line.name, quantity=line.quantity, unit_price=line.unit_price)
        for line in order.lines.all()
    )
    return Facts(order_id=str(order.pk), number=order.number, currency=order.currency, total=order.total, lines=lines)
