"""
Orders of each kind that a shop has, with all rows that they leave, as the shop itself writes them, for `copies`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from unittest.mock import patch

from django.apps import apps
from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import transaction
from django.db.models import AutoField, CharField, Model, UUIDField
from django.db.models.functions import Cast
from django.test import override_settings
from django.utils import timezone

from inventory.services import open_stock_items
from messaging import relay, subscribers
from messaging.kernel.ids import new_id
from messaging.subscribers import PartlyUnavailable, Permanent
from notifications.models import Notification
from orders.models import Order, Product
from payments.gateway.protocol import Answer, Money, Outcome, TimedOut
from payments.models import PaymentIntent
from shop.settings.groups import CONTEXTS, OrderSettings
from tests.factories import place_order
from tests.gateways import RecordingGateway
from tests.payments.scenes import deliver, payload_of
from tests.shop.operations.audit.day import cancel, give_back

GATEWAY = "tests.gateways.RecordingGateway"
CUSTOMER, EMAIL, PHONE = 987654321, "original@example.com", "+441632960987"
SKUS = ("ORIGINAL-CHAIR", "ORIGINAL-TABLE")
SOLD_OUT = "ORIGINAL-LAMP"
PRICE = 100
AFTER_ALL = timedelta(hours=1)
"""By then every order is paid, overdue or cancelled."""

Rows = Mapping[type[Model], Sequence[Sequence[Any]]]


class TemplateBroken(Permanent):
    pass


class ShelfUnknown(Permanent):
    pass


class CurrencyUnknown(Permanent):
    pass


@dataclass(frozen=True)
class Original:
    """An order and the rows that it left, by model: the values of its concrete fields."""

    number: str
    placed_at: datetime
    rows: Rows


def originals() -> dict[str, Original]:
    """Live through each kind of order, and return its rows, which are rolled back."""
    return {name: _live(life) for name, life in LIVES.items()}


def _live(life: Callable[[], Order]) -> Original:
    with transaction.atomic(), _shop():
        before = {model: set(model.objects.values_list("pk", flat=True)) for model in _models()}
        order = life()
        # Each provider gives a message an id of its own, but that of tests.
        Notification.objects.exclude(provider_id="").update(provider_id=Cast("id", CharField()))
        rows = {model: _new_rows(model, before[model]) for model in before}
        transaction.set_rollback(True)
    return Original(order.number, order.placed_at, rows)


def _models() -> list[type[Model]]:
    """Return the models of the contexts and of messaging whose rows have an id that is generated."""
    models = [model for name in (*CONTEXTS, "messaging") for model in apps.get_app_config(name).get_models()]
    return [model for model in models if _has_generated_id(model)]


def _has_generated_id(model: type[Model]) -> bool:
    key = model._meta.pk
    return isinstance(key.target_field if key.is_relation else key, AutoField | UUIDField)


def _new_rows(model: type[Model], before: set[Any]) -> Sequence[Sequence[Any]]:
    names = [field.attname for field in model._meta.concrete_fields]
    return list(model.objects.exclude(pk__in=before).order_by("pk").values_list(*names))


@contextmanager
def _shop() -> Iterator[None]:
    """Run a shop with a customer and two products, in which nothing is limited, and mails are accepted."""
    quiet = {
        "PAYMENTS": replace(settings.PAYMENTS, gateway=GATEWAY),
        "ORDERS": OrderSettings(),
        "EMAIL_BACKEND": "anymail.backends.test.EmailBackend",
    }
    with override_settings(**quiet):
        get_user_model().objects.create(pk=CUSTOMER, username="original", email=EMAIL)
        Product.objects.bulk_create([Product(sku=sku, name=f"Product {sku}", price=PRICE) for sku in (*SKUS, SOLD_OUT)])
        open_stock_items(SKUS, opening=10, now=timezone.now())
        yield


def _place(payment_method: str = "tok_visa", *, skus: Sequence[str] = SKUS) -> Order:
    contact = {"customer_id": CUSTOMER, "email": EMAIL, "phone": PHONE}
    return place_order(dict.fromkeys(skus, 1), payment_method=payment_method, **contact)


def _deliver(after: timedelta = timedelta()) -> None:
    relay.drain(clock=lambda: timezone.now() + after, timeout=60)


def _in_the_end(order: Order) -> Order:
    _deliver(AFTER_ALL)
    return order


def _payment(order: Order) -> PaymentIntent:
    return PaymentIntent.objects.get(order_id=order.pk)


def _confirmed() -> Order:
    """An order whose payment a webhook reports."""
    order = _place()
    _deliver()
    deliver(payload_of(_payment(order)), now=timezone.now())
    return _in_the_end(order)


def _refunded(amount: int) -> Order:
    order = _confirmed()
    give_back(order, amount)
    return _in_the_end(order)


def _cancelled() -> Order:
    order = _place("tok_pending")
    _deliver()
    cancel(order)
    return _in_the_end(order)


def _refund_rejected() -> Order:
    rejected = Answer(outcome=Outcome.DECLINED, reason="charge_expired")
    with patch.object(RecordingGateway, "refund", lambda gateway, request: rejected):
        return _refunded(PRICE)


def _not_delivered(status: str, reason: str) -> Order:
    """An order whose last mail the provider reported as bounced or failed."""
    order = _confirmed()
    last = Notification.objects.filter(order_id=order.pk).latest("pk")
    fields = {"status": status, "reason": reason, "error": "550 No such mailbox.", "ended_at": timezone.now()}
    Notification.objects.filter(pk=last.pk).update(**fields)
    return order


def _poisoned() -> Order:
    """An order of which four deliveries died."""
    dead = {
        "notifications.acknowledge_order": TemplateBroken("order_received.html"),
        "notifications.send_confirmation": TemplateBroken("order_confirmed.html"),
        "inventory.commit_reservation": ShelfUnknown("C-17"),
        "payments.settle_webhook": CurrencyUnknown("XTS"),
    }
    with _failing(dead):
        return _confirmed()


def _without_mail() -> Order:
    """An order of today, while the mail provider is down."""
    order = _place()
    with _failing({"notifications.send_email": None}):
        _deliver()
        deliver(payload_of(_payment(order)), now=timezone.now())
        _deliver(timedelta(seconds=1))
    with patch.dict(subscribers._registry):
        del subscribers._registry["notifications.send_email"]
        return _in_the_end(order)


def _unknown() -> Order:
    with patch.object(RecordingGateway, "charge", side_effect=TimedOut("no answer")):
        order = _place()
        _deliver()
    return order


def _disputed() -> Order:
    order = _place("tok_pending")
    _deliver()
    payment = _payment(order)
    deliver(payload_of(payment, claimed=Money(payment.amount + 1, payment.currency)), now=timezone.now())
    _deliver()
    return order


def _parked() -> Order:
    order = _confirmed()
    foreign = payload_of(_payment(order), charge_key=str(new_id()), order_id=str(new_id()), reference="other-shop")
    deliver(foreign, now=timezone.now())
    _deliver()
    return order


def _awaiting_payment() -> Order:
    order = _place("tok_pending")
    _deliver()
    return order


LIVES: Mapping[str, Callable[[], Order]] = {
    "confirmed": _confirmed,
    "partly refunded": lambda: _refunded(PRICE),
    "refunded": lambda: _refunded(2 * PRICE),
    "cancelled": _cancelled,
    "declined": lambda: _in_the_end(_place("tok_declined")),
    "sold out": lambda: _in_the_end(_place(skus=[SOLD_OUT])),
    "expired": lambda: _in_the_end(_place("tok_pending")),
    "refund rejected": _refund_rejected,
    "mail bounced": lambda: _not_delivered("bounced", "no_mailbox"),
    "mail failed": lambda: _not_delivered("failed", "rejected"),
    "poisoned": _poisoned,
    "without mail": _without_mail,
    "unknown": _unknown,
    "disputed": _disputed,
    "parked": _parked,
    "awaiting payment": _awaiting_payment,
    "placed": _place,
}
"""Of each kind of order: what happens to it."""


@contextmanager
def _failing(errors: Mapping[str, Exception | None]) -> Iterator[None]:
    """Make subscribers fail for good with an error of theirs, or defer everything if that is None."""
    with ExitStack() as stack:
        for name, error in errors.items():
            failing = replace(subscribers.all_subscribers()[name], react=_fail(error))
            stack.enter_context(patch.dict(subscribers._registry, {name: failing}))
        yield


def _fail(error: Exception | None) -> Callable[[Sequence[Any]], None]:
    def react(events: Sequence[Any]) -> None:
        if error:
            raise error
        raise PartlyUnavailable("421 Try again later.", keys={event.key for event in events})

    return react
