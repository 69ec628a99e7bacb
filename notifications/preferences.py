"""
Which notifications customers get over which channels: what the shop sends by default, what the contract requires, and
what each customer chose instead.
"""

from collections.abc import Collection, Mapping
from itertools import product

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

from .models import Notification, Preference

Kind, Channel = Notification.Kind, Notification.Channel

TITLES: Mapping[str, str] = {
    Kind.ORDER_RECEIVED.value: _("We received your order"),
    Kind.ORDER_CONFIRMED.value: _("Your order is paid and confirmed"),
    Kind.OUT_OF_STOCK.value: _("Your order is out of stock"),
    Kind.PAYMENT_FAILED.value: _("Your payment failed"),
    Kind.PAYMENT_DUE_SOON.value: _("Reminder of a payment"),
    Kind.ORDER_EXPIRED.value: _("Your order was not paid in time"),
    Kind.ORDER_CANCELLED.value: _("Your order is cancelled"),
    Kind.PAYMENT_REFUNDED.value: _("Money is refunded to you"),
}
"""Of the kinds of which customers are told, in the order of an order's life."""

KINDS = [(kind, Kind(kind).label) for kind in TITLES]
"""Those kinds, as choices of a field."""

OPTIONAL_BY_EMAIL = frozenset({Kind.ORDER_RECEIVED, Kind.PAYMENT_DUE_SOON})
"""The contract requires that the other kinds are told by e-mail."""

SMS_BY_DEFAULT = frozenset({Kind.OUT_OF_STOCK, Kind.PAYMENT_FAILED, Kind.PAYMENT_DUE_SOON, Kind.ORDER_EXPIRED})

Choices = Mapping[tuple[str, str], bool]
"""Whether a notification is sent, by kind and channel."""


SmsRequest = tuple[str, str]
"""Customer and kind."""


class RequiredNotification(Exception):
    """
    The contract requires a notification that is to be switched off. Nothing was changed.
    """

    def __init__(self, kind: str, channel: str) -> None:
        super().__init__(kind, channel)
        self.kind, self.channel = kind, channel


def title_of(kind: str) -> str:
    """
    Return the title of a kind, in the current language.
    """
    return gettext(TITLES[kind])


def offered_channels() -> list[str]:
    """
    Return the channels over which the shop can send.
    """
    return [Channel.EMAIL.value, *[Channel.SMS.value] * bool(settings.NOTIFICATIONS.sms_backend)]


def is_required(kind: str, channel: str) -> bool:
    """
    Return whether a customer gets this kind over this channel whatever the customer chose.
    """
    return channel == Channel.EMAIL and kind not in OPTIONAL_BY_EMAIL


def is_default(kind: str, channel: str) -> bool:
    """
    Return whether a customer who chose nothing gets this kind over this channel.
    """
    return channel == Channel.EMAIL or kind in SMS_BY_DEFAULT


def of_customer(customer_id: str) -> list[Preference]:
    """
    Return what a customer gets, by one statement: a preference, stored or not, for each kind and channel of the shop.
    """
    chosen = _chosen([customer_id])
    pairs = product(TITLES, offered_channels())
    return [
        Preference(
            customer_id=customer_id, kind=kind, channel=channel, is_on=_is_on(chosen, customer_id, kind, channel)
        )
        for kind, channel in pairs
    ]


@transaction.atomic
def choose(customer_id: str, choices: Choices) -> None:
    """
    Store what a customer chose. What the customer does not mention stays.

    :raises RequiredNotification: if the customer may not switch one off.
    """
    for (kind, channel), is_on in choices.items():
        if is_required(kind, channel) and not is_on:
            raise RequiredNotification(kind, channel)
    # In one order: simultaneous requests of a customer wait for one another.
    rows = [
        Preference(customer_id=customer_id, kind=kind, channel=channel, is_on=is_on)
        for (kind, channel), is_on in sorted(choices.items())
    ]
    unique = ["customer_id", "kind", "channel"]
    Preference.objects.bulk_create(rows, update_conflicts=True, update_fields=["is_on"], unique_fields=unique)
    defaults = [Q(kind=row.kind, channel=row.channel) for row in rows if row.is_on == is_default(row.kind, row.channel)]
    if defaults:
        Preference.objects.filter(Q(*defaults, _connector=Q.OR), customer_id=customer_id).delete()


def sms_requests(customer_ids: Collection[str]) -> set[SmsRequest]:
    """
    Return which of these customers chose to be told of which kinds by SMS, by at most one statement.
    """
    if not customer_ids or Channel.SMS not in offered_channels():
        return set()
    rows = Preference.objects.filter(customer_id__any=customer_ids, channel=Channel.SMS, is_on=True)
    return set(rows.values_list("customer_id", "kind"))


def switched_off_among(notifications: Collection[Notification]) -> list[Notification]:
    """
    Return those of these notifications that their customers do not want, by at most one statement.
    """
    optional = [each for each in notifications if not is_required(each.kind, each.channel)]
    chosen = _chosen({each.customer_id for each in optional} - {""})
    return [each for each in optional if not _is_on(chosen, each.customer_id, each.kind, each.channel)]


def _chosen(customer_ids: Collection[str]) -> dict[tuple[str, str, str], bool]:
    if not customer_ids:
        return {}
    rows = Preference.objects.filter(customer_id__any=customer_ids)
    return {(row.customer_id, row.kind, row.channel): row.is_on for row in rows}


def _is_on(chosen: Mapping[tuple[str, str, str], bool], customer_id: str, kind: str, channel: str) -> bool:
    is_on = chosen.get((customer_id, kind, channel), is_default(kind, channel))
    return is_on or is_required(kind, channel)
