"""
Erasure of a customer's contact data, in all contexts: e-mail addresses, phone numbers, notes, names, and the texts that
were sent. The books stay: orders, amounts, payments, refunds.

It runs where the orders and the accounts are. Contexts in the same database are erased at once; those in services of
their own by `ContactDataErased` and `CustomerErased`, which commit with what is erased here.

It may be killed and repeated: each batch of orders is erased in transactions of its own, and the orders, which name the
addresses to look for, come last. A repeated run skips what is erased.
"""

import logging
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from uuid import UUID

from django.apps import apps
from django.contrib.auth.models import User
from django.db import transaction

import messaging.erasure
import orders.erasure
from orders.models import Order
from shop.accounts import erasure as accounts

logger = logging.getLogger(__name__)

BATCH_ORDERS = 500
NAMED_ORDERS = 5


class OpenOrders(Exception):
    """
    The customer has open orders, about which the shop has to be able to tell. Nothing was erased.
    """


class WrittenMeanwhile(Exception):
    """
    A worker that had read contact data before it was erased has written some of it since. Run it again.
    """


@dataclass(frozen=True)
class Batch:
    """
    Some orders of a customer, with the keys of the messages about them and the addresses that these may name.
    """

    order_ids: Sequence[UUID]
    keys: Sequence[str]
    addresses: Collection[str]

    def rows(self) -> Counter[str]:
        """
        Return the number of rows with contact data, by what they are.
        """
        contexts = (orders.erasure, *_here("payments", "notifications"))
        found = [item for context in contexts for item in context.contact_data(self.order_ids).items()]
        messages = messaging.erasure.contact_data(self.keys, self.addresses)
        return Counter({name: queryset.count() for name, queryset in found} | count_each(messages))

    def erase(self) -> None:
        """
        Erase it, in the orders last: they name the addresses to look for.
        """
        messaging.erasure.erase(self.keys, self.addresses)
        for context in _here("payments", "notifications"):
            context.erase(self.order_ids)
        orders.erasure.erase(self.order_ids)


def rows(user: User) -> Mapping[str, int]:
    """
    Return the number of rows with data of a customer, by what they are.
    """
    personal = Counter(count_each(accounts.personal_data(user)))
    sign_ups = accounts.sign_ups_of(user)
    personal.update(count_each(messaging.erasure.contact_data(*_about_account(user, sign_ups))))
    for notifications in _here("notifications"):
        personal["notification preferences"] = notifications.preferences_of([str(user.pk)]).count()
        personal["notifications"] = notifications.about_account([str(user.pk)], sign_ups, _addresses_of(user)).count()
    return +sum((batch.rows() for batch in _batches(user)), personal)


def erase(user: User) -> None:
    """
    Erase the data of a customer and deactivate the account. The account is erased last: while it is not, another run
    erases everything again and has other services do so.

    :raises OpenOrders: if an order of the customer is open.
    :raises WrittenMeanwhile: if some of it was written again before the end.
    """
    require_no_open_orders(user)
    if not rows(user):
        return
    sign_ups = accounts.sign_ups_of(user)
    accounts.close(user)
    for batch in _batches(user):
        batch.erase()
    messaging.erasure.erase(*_about_account(user, sign_ups))
    for notifications in _here("notifications"):
        notifications.erase_texts(notifications.about_account([str(user.pk)], sign_ups, _addresses_of(user)))
        notifications.preferences_of([str(user.pk)]).delete()
    with transaction.atomic():
        accounts.erase(user)
        orders.erasure.publish_erased(str(user.pk), sign_ups)
    user.refresh_from_db()
    if rows(user):
        raise WrittenMeanwhile("A worker has written some of it meanwhile. Run the command again.")
    logger.info("The contact data of customer %s was erased.", user.pk)


def count_each(found: Mapping[str, Collection[object]]) -> dict[str, int]:
    """
    Return the number of rows, by what they are.
    """
    return {name: len(each) for name, each in found.items()}


def require_no_open_orders(user: User) -> None:
    """
    Refuse a customer with open orders.

    :raises OpenOrders: if an order of the customer is open.
    """
    open_orders = Order.objects.filter(customer_id=user.pk, status__in=Order.OPEN).order_by("pk")
    if count := open_orders.count():
        named = ", ".join(order.number or str(order.pk) for order in open_orders[:NAMED_ORDERS])
        named += ", …" * (count > NAMED_ORDERS)
        are, them, they_end = ("order is", "it", "it ends") if count == 1 else ("orders are", "them", "they end")
        raise OpenOrders(f"{count} {are} open: {named}. Cancel {them}, or wait until {they_end}. Nothing was erased.")


def _here(*contexts: str) -> list[ModuleType]:
    """
    Return the erasure of those contexts that run here, beside the orders.
    """
    return [import_module(f"{context}.erasure") for context in contexts if apps.is_installed(context)]


def _about_account(user: User, sign_ups: Collection[UUID]) -> tuple[Collection[str], Collection[str]]:
    """
    Return the keys of the messages about a customer's account, and what the errors of their deliveries may name.
    """
    keys = {str(user.pk), *map(str, sign_ups)}
    for notifications in _here("notifications"):
        keys.update(notifications.account_message_keys([str(user.pk)], sign_ups, _addresses_of(user)))
    return keys, _addresses_of(user) | {user.get_username()}


def _addresses_of(user: User) -> set[str]:
    return {user.email} - {""}


def _batches(user: User) -> Iterator[Batch]:
    ids = list(Order.objects.filter(customer_id=user.pk).order_by("pk").values_list("pk", flat=True))
    for start in range(0, len(ids), BATCH_ORDERS):
        order_ids = ids[start : start + BATCH_ORDERS]
        keys = [*map(str, order_ids), *(key for each in _here("notifications") for key in each.message_keys(order_ids))]
        yield Batch(order_ids, keys, orders.erasure.addresses_of(order_ids) | ({user.email} - {""}))
