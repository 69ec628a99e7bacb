"""
What orders itself adds to the page of an order: its states, the operators' notes, and what operators may do.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from uuid import UUID

from django import forms
from django.apps import apps
from django.db.models import Model

from messaging.kernel.admin import to_the_second
from messaging.kernel.money import money
from shop.http import order_panels
from shop.http.order_panels import Link, NotPossible, OrderAction, Panel, Part, TimelineEntry, reason_field

from . import services
from .models import HistoryEntry, Order, OrderNote, OrderRefund

PAID = frozenset({Order.Status.CONFIRMED, Order.Status.REFUNDED})
SHOWN = ("number", "status", "placed_at", "total", "refunded", "currency")

MOST_SUMMED = 1_000
"""Of so many of a customer's newest orders, amounts are added up."""


def register() -> None:
    order_panels.register("orders", read, permission="orders.view_order")
    order_panels.register_customer("orders", read_customer, permission="orders.view_order")
    order_panels.register_action(CancelOrder)
    order_panels.register_action(AddNote)


def read(order_id: UUID, rows: Sequence[Model]) -> Part:
    steps = list(HistoryEntry.objects.filter(order_id=order_id).select_related("order").order_by("id"))
    order = steps[0].order if steps else Order.objects.get(pk=order_id)
    notes = list(OrderNote.objects.filter(order_id=order_id).order_by("id"))
    return Part(
        panels=[*_refunds_panel(order_id), *_notes_panel(notes)],
        entries=[*map(_step, steps), *map(_noted, notes)],
        rows=[order, *notes],
        actions=["cancel"] * order.may_become(Order.Status.CANCELLED) + ["note"],
    )


def read_customer(customer_id: str) -> Sequence[Panel]:
    """
    Return the newest orders of a customer, and what they come to.
    """
    of_customer = Order.objects.filter(customer=int(customer_id)).order_by("-id")
    # Not as instances, which take more time than the rest of the page.
    newest = list(of_customer.values_list("status", "currency", "total", "refunded")[:MOST_SUMMED])
    if not newest:
        return [Panel(title="Orders", facts=[("Orders", "none")])]
    more = len(newest) == MOST_SUMMED
    return [
        Panel(
            title=f"Newest {MOST_SUMMED:,} orders" if more else "Orders",
            facts=[
                ("Orders", f"{len(newest):,}{'+' * more}"),
                (
                    "Spent",
                    _sums((currency, total - back) for status, currency, total, back in newest if status in PAID),
                ),
                ("Refunded", _sums((of, back) for _, of, _, back in newest if back)),
            ],
            columns=["Order", "Status", "Total", "Refunded", "Placed"],
            rows=[_row(order) for order in of_customer.only(*SHOWN)[: order_panels.SHOWN_ROWS]],
        )
    ]


class CancelOrder(OrderAction):
    name, label, permission = "cancel", "Cancel the order", "orders.change_order"

    reason = reason_field(max_length=200, help_text="For the log; the customer does not read it.")

    def consequences(self) -> Sequence[str]:
        order = Order.objects.get(pk=self.order_id)
        if not order.may_become(Order.Status.CANCELLED):
            raise NotPossible(services.CANNOT_CANCEL[Order.Status(order.status)])
        return [
            f"The order over {money(order.total, order.currency)} ends as cancelled. That cannot be undone.",
            "Its stock becomes available again, its payment is withdrawn, and money that was captured goes back.",
            "The customer gets a mail about it.",
        ]

    def perform(self, *, by: str, now: datetime) -> str:
        try:
            services.cancel_order(str(self.order_id), reason=Order.CancelReason.BY_OPERATOR, now=now)
        except services.CannotCancel as refusal:
            raise NotPossible(str(refusal)) from refusal
        return "Cancelled."


class AddNote(OrderAction):
    name, label, permission = "note", "Add a note", "orders.add_ordernote"

    text = forms.CharField(max_length=2_000, label="Note", widget=forms.Textarea(attrs={"rows": 4, "autofocus": True}))

    def consequences(self) -> Sequence[str]:
        return ["The note is shown to operators on the page of this order. The customer does not see it."]

    def perform(self, *, by: str, now: datetime) -> str:
        OrderNote.objects.create(order_id=self.order_id, text=self.cleaned_data["text"], author=by, at=now)
        return "Added a note."


def _row(order: Order) -> tuple[object, ...]:
    refunded = money(order.refunded, order.currency) if order.refunded else ""
    page = Link(order.number, "admin:orders_order_change", order.pk)
    return page, order.status, money(order.total, order.currency), refunded, to_the_second(order.placed_at)


def _sums(amounts: Iterable[tuple[str, int]]) -> str:
    """
    Return the sum of each currency; empty if there are no amounts.
    """
    sums: Counter[str] = Counter()
    for currency, amount in amounts:
        sums[currency] += amount
    return ", ".join(money(amount, currency) for currency, amount in sums.items())


def _step(step: HistoryEntry) -> TimelineEntry:
    reason = f": {step.order.cancel_reason}" if step.status == Order.Status.CANCELLED else ""
    return TimelineEntry(at=step.at, context="orders", what=f"{step.status}{reason}")


def _noted(note: OrderNote) -> TimelineEntry:
    return TimelineEntry(at=note.at, context="operators", what=f"{note.author} noted: {note.text}")


def _notes_panel(notes: Sequence[OrderNote]) -> Iterator[Panel]:
    if notes:
        shown = notes[-order_panels.SHOWN_ROWS :]
        rows = [(to_the_second(note.at), note.author, note.text) for note in shown]
        yield Panel(title="Notes of operators", columns=["At", "By", "Note"], rows=rows)


def _refunds_panel(order_id: UUID) -> Iterator[Panel]:
    """
    Yield the refunds that orders knows of, where payments runs in another service.
    """
    if apps.is_installed("payments"):
        return
    rows = [
        (money(each.amount, each.currency), each.cause, each.reason, to_the_second(each.at))
        for each in OrderRefund.objects.filter(order_id=order_id).order_by("at")
    ]
    if rows:
        yield Panel(title="Refunds", columns=["Amount", "Cause", "Reason", "At"], rows=rows)
