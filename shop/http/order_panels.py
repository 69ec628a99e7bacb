"""
What contexts know of an order or a customer, and what operators may do with an order. Each context registers its own
(`register`, `register_action`, `register_finder`, `register_customer`), so the pages of orders and customers in the
admin, the search for orders and `trace_order` import no other context, and lack the parts of contexts that run in other
services.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, NamedTuple
from uuid import UUID

from django import forms
from django.db.models import Model

SHOWN_ROWS = 100
"""At most so many rows of a kind are shown of an order."""


class NotPossible(Exception):
    """
    The action cannot be performed on the order as it is now; nothing was changed.
    """


@dataclass(frozen=True, kw_only=True)
class TracedDelivery:
    """
    One subscriber's delivery of a message, as it stands now.
    """

    subscriber: str
    status: str
    at: datetime
    """When it was delivered, or is due."""
    attempts: int
    latest_error: str


@dataclass(frozen=True, kw_only=True)
class TimelineEntry:
    """
    One change, or one message with its deliveries.
    """

    at: datetime
    context: str
    what: str
    because: str = ""
    """Messages: the type of the message whose delivery published this one."""
    trace_id: str = ""
    """Messages: the trace they belong to, which the log lines of their deliveries show."""
    deliveries: Sequence[TracedDelivery] = ()


class Link(NamedTuple):
    """
    A value that links to a page of the admin: the name of its URL pattern, and the id in it.
    """

    text: object
    page: str
    about: object


@dataclass(frozen=True, kw_only=True)
class Panel:
    """
    A section of an order's page: facts as labels with values, and a table. Empty values are not shown.
    """

    title: str
    facts: Sequence[tuple[str, object]] = ()
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[object]] = ()


@dataclass(frozen=True, kw_only=True)
class Part:
    """
    What one context knows of an order.
    """

    panels: Sequence[Panel] = ()
    entries: Sequence[TimelineEntry] = ()
    """In the order in which they happened, where they have the same time."""
    rows: Sequence[Model] = ()
    """The rows about the order: messages have their ids as keys, and the admin's log has entries about them."""
    actions: Sequence[str] = ()
    """The names of the actions that are possible now."""


class OrderAction(forms.Form):
    """
    Something that an operator may do with an order: the form of its confirmation page.
    """

    do_not_call_in_templates: ClassVar = True
    name: ClassVar[str]
    label: ClassVar[str]
    permission: ClassVar[str]
    """Such as "payments.add_refund"."""
    is_transactional: ClassVar[bool] = True
    """Whether `perform` and the entry in the admin's log are one transaction; not if it calls an external service."""

    def __init__(self, order_id: UUID, data: Any = None) -> None:
        super().__init__(data)
        self.order_id = order_id

    def consequences(self) -> Sequence[str]:
        """
        Return what the action will do, in sentences.

        :raises NotPossible: if it cannot be performed.
        """
        raise NotImplementedError

    def perform(self, *, by: str, now: datetime) -> str:
        """
        Perform it, and return what was done, in a sentence.

        :param by: the operator's username.
        :raises NotPossible: if it cannot be performed.
        :raises ValidationError: if a field's value is refused.
        """
        raise NotImplementedError

    def why(self) -> str:
        """
        Return why, as the operator wrote it, for the admin's log.
        """
        return str(self.cleaned_data.get("reason", ""))


def reason_field(*, max_length: int, help_text: str) -> forms.CharField:
    """
    Return the field of an action that asks why.

    :param help_text: says who reads it.
    """
    widget = forms.TextInput(attrs={"size": 60})
    return forms.CharField(required=False, max_length=max_length, help_text=help_text, widget=widget)


Read = Callable[[UUID, Sequence[Model]], Part]
ReadCustomer = Callable[[str], Sequence[Panel]]
Find = Callable[[str, int], Iterable[UUID]]


class _Source(NamedTuple):
    permission: str
    read: Read


class _SourceOfCustomers(NamedTuple):
    permission: str
    read: ReadCustomer


_sources: dict[str, _Source] = {}
_sources_of_customers: dict[str, _SourceOfCustomers] = {}
_actions: dict[str, type[OrderAction]] = {}
_finders: dict[str, Find] = {}


def register(name: str, read: Read, *, permission: str) -> None:
    """
    Have a function tell what it knows of an order. Functions are called in the order of registration.

    :param read: gets the order's id, and the rows about it that earlier functions returned.
    :param permission: required to see it, such as "payments.view_paymentintent".
    """
    _sources[name] = _Source(permission, read)


def register_action(action: type[OrderAction]) -> None:
    _actions[action.name] = action


def register_finder(name: str, find: Find) -> None:
    """
    Have a function find orders.

    :param find: gets what a person typed and a maximum, and returns the ids of so many orders that have it.
    """
    _finders[name] = find


def register_customer(name: str, read: ReadCustomer, *, permission: str) -> None:
    """
    Have a function tell what it knows of a customer.

    :param read: gets the customer's id.
    """
    _sources_of_customers[name] = _SourceOfCustomers(permission, read)


def panels_of_customer(customer_id: str, *, may: Callable[[str], bool]) -> list[Panel]:
    """
    Return what is known of a customer by those sources whose permission is granted.
    """
    sources = [source for source in _sources_of_customers.values() if may(source.permission)]
    return [panel for source in sources for panel in source.read(customer_id)]


def parts_of(order_id: UUID, *, may: Callable[[str], bool] = lambda permission: True) -> list[Part]:
    """
    Return what is known of an order by those sources whose permission is granted.
    """
    parts: list[Part] = []
    for source in _sources.values():
        if may(source.permission):
            parts.append(source.read(order_id, [row for part in parts for row in part.rows]))
    return parts


def timeline_of(parts: Iterable[Part]) -> list[TimelineEntry]:
    """
    Return the entries of these parts, sorted by time.
    """
    return sorted((entry for part in parts for entry in part.entries), key=lambda entry: entry.at)


def action_named(name: str) -> type[OrderAction] | None:
    return _actions.get(name)


def all_actions() -> list[type[OrderAction]]:
    """
    Return the actions of all contexts, in the order of their registration.
    """
    return list(_actions.values())


def actions_of(parts: Iterable[Part], *, may: Callable[[str], bool]) -> list[type[OrderAction]]:
    """
    Return the actions that are possible now and permitted, in the order of their registration.
    """
    possible = {name for part in parts for name in part.actions}
    return [action for name, action in _actions.items() if name in possible and may(action.permission)]


def find_elsewhere(term: str, limit: int) -> list[UUID]:
    """
    Return the ids of orders of which other contexts know this value, such as a reference of the payment provider.
    """
    return [order_id for find in _finders.values() for order_id in find(term, limit)][:limit]
