"""
What payments tells operators of an order, what they may do with its money, and how orders are found by the provider's
references.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django import forms
from django.db.models import Model, Q

from messaging.kernel.admin import to_the_second
from messaging.kernel.money import minor_units, money
from messaging.subscribers import NotReady, OutageObserved, PartlyUnavailable
from shop.http import order_panels
from shop.http.order_panels import Link, NotPossible, OrderAction, Panel, Part, TimelineEntry, reason_field

from . import refunds
from .charges import services
from .models import Capture, GatewayCall, PaymentIntent, Refund, WebhookEvent

REFUND_COLUMNS = ("Refund", "Status", "Reason", "Requested")
MOST_CALLS = 100
"""How many calls of the gateway a timeline has at most, the last ones."""

AMOUNT = re.compile(r"[0-9]{1,15}(\.[0-9]{1,4})?", re.ASCII)

MOST_READ = 1_000
"""Refunds of so many of a customer's newest payments are shown."""


def register() -> None:
    order_panels.register("payments", read, permission="payments.view_paymentintent")
    order_panels.register_customer("payments", read_customer, permission="payments.view_refund")
    order_panels.register_action(RefundPayment)
    order_panels.register_action(AskGateway)
    order_panels.register_finder("payments", find)


def read(order_id: UUID, rows: Sequence[Model]) -> Part:
    intents = list(PaymentIntent.objects.filter(order_id=order_id))
    captures = list(Capture.objects.filter(intent__order_id=order_id).order_by("captured_at", "id"))
    returned = list(_refunds(order_id))
    about = Q(order_id=order_id) | Q(charge_key__in=[str(intent.pk) for intent in intents])
    webhooks = list(WebhookEvent.objects.filter(about).defer("body").order_by("received_at"))
    refundable = any(capture.refundable for capture in captures)
    asks = any(intent.is_open for intent in intents)
    return Part(
        panels=[_money_panel(intent, captures, returned) for intent in intents] + list(_webhook_panel(webhooks)),
        entries=[*_money(intents, captures), *map(_webhook, webhooks), *_refund_entries(returned), *_calls(order_id)],
        rows=[*intents, *captures, *returned, *webhooks],
        actions=["refund"] * refundable + ["ask-gateway"] * asks,
    )


def read_customer(customer_id: str) -> Sequence[Panel]:
    """
    Return the newest refunds of a customer's newest payments.
    """
    # Step by step: for a join, PostgreSQL reads all captures.
    payments = PaymentIntent.objects.filter(customer_id=customer_id).order_by("-id").values_list("pk", flat=True)
    captures = Capture.objects.filter(intent_id__any=list(payments[:MOST_READ])).values_list("pk", flat=True)
    returned = Refund.objects.filter(capture_id__any=list(captures)).select_related("capture__intent")
    rows = [
        (refund.capture.intent.number, *_refund_row(refund))
        for refund in returned.order_by("-id")[: order_panels.SHOWN_ROWS]
    ]
    return [Panel(title="Refunds", columns=["Order", *REFUND_COLUMNS], rows=rows)] if rows else []


def find(term: str, limit: int) -> Iterable[UUID]:
    """
    Return the ids of orders whose payment has this reference of the provider or this id, or whose refund has.
    """
    ids = Q(pk__in=[UUID(term)]) if _is_uuid(term) else Q(pk__in=[])
    intents = PaymentIntent.objects.filter(Q(provider_reference=term) | ids).values_list("order_id")
    captures = Capture.objects.filter(reference=term).values_list("intent__order_id")
    returned = Refund.objects.filter(Q(provider_reference=term) | ids).values_list("capture__intent__order_id")
    return [order_id for (order_id,) in intents.union(captures, returned)[:limit]]


def read_amount(text: str) -> Decimal:
    """
    Return the amount that a text such as 12.50 writes, in the currency's main unit.

    :raises ValidationError: if it is malformed or ambiguous.
    """
    if not AMOUNT.fullmatch(text):
        raise forms.ValidationError("write it like 12.50, without a currency and without thousands separators.")
    return Decimal(text)


class RefundPayment(OrderAction):
    name, label, permission = "refund", "Refund", "payments.add_refund"

    amount = forms.CharField(
        required=False,
        max_length=20,
        help_text="Such as 12.50. Empty: all that is left.",
        widget=forms.TextInput(attrs={"inputmode": "decimal", "size": 10, "autofocus": True}),
    )
    reason = reason_field(
        max_length=100,
        help_text="The customer reads it on the page of the order and in the mail. It is kept: write no names.",
    )
    # A form that is sent twice must not refund twice.
    returned_before = forms.CharField(required=False, max_length=20, widget=forms.HiddenInput)

    def __init__(self, order_id: UUID, data: Any = None) -> None:
        super().__init__(order_id, data)
        self.captures = list(Capture.objects.filter(intent__order_id=order_id).order_by("pk"))
        self.fields["returned_before"].initial = self._returned()

    def consequences(self) -> Sequence[str]:
        left = [capture for capture in self.captures if capture.refundable]
        if not left:
            raise NotPossible("Nothing of this order is left to refund.")
        surplus = [capture for capture in left if capture.surplus]
        sentences = [
            f"{money(capture.refundable, capture.currency)} of {money(capture.amount, capture.currency)}"
            f"{', which the order did not ask for,' * capture.surplus} can be refunded."
            for capture in left
        ]
        if surplus and len(left) > len(surplus):
            sentences.append("With an empty amount, only the money that the order did not ask for is refunded.")
        return [
            *sentences,
            "The payment provider sends the money back the way it was paid. That cannot be undone.",
            "The customer gets a mail about it. A refund of the whole amount of an order ends it as refunded.",
        ]

    def clean_amount(self) -> int | None:
        text = self.cleaned_data["amount"]
        if not text or not self.captures:
            return None
        try:
            currency = next((each.currency for each in self.captures if not each.surplus), self.captures[0].currency)
            return minor_units(read_amount(text), currency)
        except ValueError as error:
            raise forms.ValidationError(str(error)) from error

    def perform(self, *, by: str, now: datetime) -> str:
        PaymentIntent.objects.locked([str(self.order_id)])
        self.captures = list(Capture.objects.filter(intent__order_id=self.order_id).order_by("pk"))
        if self.cleaned_data["returned_before"] not in {"", str(self._returned())}:
            raise NotPossible("Something was refunded after this page was opened. Look at the order, then try again.")
        reason = self.cleaned_data["reason"] or Refund.BY_THE_SHOP
        try:
            requested = refunds.refund(str(self.order_id), amount=self.cleaned_data["amount"], reason=reason, now=now)
        except refunds.RefundExceedsCapture as error:
            raise forms.ValidationError({"amount": str(error)}) from error
        amounts = " and ".join(money(refund.amount, refund.capture.currency) for refund in requested)
        return f"Refunded {amounts}."

    def _returned(self) -> int:
        return sum(capture.returned for capture in self.captures)


class AskGateway(OrderAction):
    name, label, permission = "ask-gateway", "Ask the gateway now", "payments.change_paymentintent"
    is_transactional = False

    def consequences(self) -> Sequence[str]:
        intent = self._open_payment()
        return [
            f"The payment is {intent.status}. The gateway is asked for its state now, and its answer is applied.",
            "A charge of which the gateway has no record is made, with the same key, if the order still wants it."
            if intent.is_wanted
            else "The order no longer wants the payment: the gateway is asked to cancel it.",
        ]

    def perform(self, *, by: str, now: datetime) -> str:
        intent = self._open_payment()
        try:
            services.ask_again({str(self.order_id): intent.asks}, now=now)
        except (PartlyUnavailable, NotReady, OutageObserved, services.PaymentUnknown) as error:
            return f"Asked the gateway, which gave no final answer: {error}"
        intent.refresh_from_db()
        return f"Asked the gateway: the payment is {intent.status}."

    def _open_payment(self) -> PaymentIntent:
        intent = PaymentIntent.objects.filter(order_id=self.order_id, status__in=PaymentIntent.OPEN).first()
        if not intent:
            raise NotPossible("This order has no open payment: there is nothing to ask.")
        return intent


def _refunds(order_id: UUID) -> Iterable[Refund]:
    refunds_of_order = Refund.objects.filter(capture__intent__order_id=order_id)
    return refunds_of_order.select_related("capture").order_by("requested_at", "id")


def _calls(order_id: UUID) -> Iterator[TimelineEntry]:
    for call in GatewayCall.objects.filter(order_id=order_id).order_by("-pk")[:MOST_CALLS]:
        what = f"gateway, {call.name.replace('_', ' ')}: {call.outcome} after {call.milliseconds} ms"
        yield TimelineEntry(at=call.started_at, context="payments", what=what)


def _money_panel(intent: PaymentIntent, captures: Sequence[Capture], returned: Sequence[Refund]) -> Panel:
    wanted = sum(capture.amount for capture in captures if not capture.surplus)
    is_paid = {Refund.Status.SUCCEEDED}
    return Panel(
        title="Money",
        facts=[
            ("Asked", money(intent.amount, intent.currency)),
            ("Captured", money(wanted, intent.currency)),
            ("Captured beyond that", _sums(capture for capture in captures if capture.surplus)),
            ("Refunded", _sums(refund for refund in returned if refund.status in is_paid)),
            ("Being refunded", _sums(refund for refund in returned if refund.status in Refund.OPEN)),
            ("Open", money(intent.amount - wanted if intent.is_wanted else 0, intent.currency)),
            ("Payment", Link(intent.status, "admin:payments_paymentintent_change", intent.pk)),
            ("Failure", intent.failure_reason),
            ("Queries repeated", intent.asks or ""),
            ("Withdrawn", to_the_second(intent.withdrawn_at)),
            ("Provider's reference", intent.provider_reference),
            ("Method", intent.payment_method),
        ],
        columns=REFUND_COLUMNS,
        rows=[_refund_row(refund) for refund in returned[-order_panels.SHOWN_ROWS :]],
    )


def _refund_row(refund: Refund) -> tuple[object, ...]:
    status = f"{refund.status}: {refund.failure_reason}" if refund.failure_reason else refund.status
    amount = money(refund.amount, refund.capture.currency)
    page = Link(amount, "admin:payments_refund_change", refund.pk)
    return page, status, refund.reason, to_the_second(refund.requested_at)


def _sums(movements: Iterable[Capture | Refund]) -> str:
    """
    Return the sum of each currency; empty if there are no movements.
    """
    sums: dict[str, int] = {}
    for movement in movements:
        currency = movement.currency if isinstance(movement, Capture) else movement.capture.currency
        sums[currency] = sums.get(currency, 0) + movement.amount
    return ", ".join(money(amount, currency) for currency, amount in sums.items())


def _webhook_panel(webhooks: Sequence[WebhookEvent]) -> Iterator[Panel]:
    unsettled = [webhook for webhook in webhooks if webhook.status != WebhookEvent.Status.SETTLED]
    if unsettled:
        rows = [
            (
                Link(webhook.event_id, "admin:payments_webhookevent_change", webhook.pk),
                webhook.status,
                f"{money(webhook.amount, webhook.currency)} {webhook.outcome}",
                to_the_second(webhook.received_at),
            )
            for webhook in unsettled[: order_panels.SHOWN_ROWS]
        ]
        yield Panel(title="Webhooks not settled", columns=["Event", "Status", "Claims", "Received"], rows=rows)


def _money(intents: Sequence[PaymentIntent], captures: Sequence[Capture]) -> Iterator[TimelineEntry]:
    for intent in intents:
        failure = f" ({intent.failure_reason})" if intent.failure_reason else ""
        what = f"payment of {money(intent.amount, intent.currency)} opened, now {intent.status}{failure}"
        yield _entry(intent.created_at, what)
        if intent.withdrawn_at:
            yield _entry(intent.withdrawn_at, "payment withdrawn")

    for capture in captures:
        surplus = ", surplus" * capture.surplus
        yield _entry(capture.captured_at, f"captured {money(capture.amount, capture.currency)}{surplus}")


def _webhook(webhook: WebhookEvent) -> TimelineEntry:
    amount = money(webhook.amount, webhook.currency)
    return _entry(webhook.received_at, f"webhook reports {amount} {webhook.outcome}, now {webhook.status}")


def _refund_entries(returned: Sequence[Refund]) -> Iterator[TimelineEntry]:
    for refund in returned:
        amount = money(refund.amount, refund.capture.currency)
        yield _entry(refund.requested_at, f"refund of {amount} requested: {refund.reason}")
        if refund.settled_at:
            failure = f" ({refund.failure_reason})" if refund.failure_reason else ""
            yield _entry(refund.settled_at, f"refund of {amount} {refund.status}{failure}")


def _entry(at: datetime, what: str) -> TimelineEntry:
    return TimelineEntry(at=at, context="payments", what=what)


def _is_uuid(term: str) -> bool:
    try:
        UUID(term)
    except ValueError:
        return False
    return True
