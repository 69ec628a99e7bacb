import json
import re
from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError
from django.db.models import Q

ID = re.compile(r"[0-9]{1,9}", re.ASCII)


class Command(BaseCommand):
    help = (
        "Erase the contact data of a customer: e-mail addresses, phone numbers, notes, names, tokens, sessions, and "
        "the texts that were sent. The account is deactivated; orders, amounts, payments and refunds stay. Without "
        "--yes nothing is changed: the command prints what it would erase. Refused while an order of the customer is "
        "open. It may be killed and run again. Services with other contexts erase what they have when they receive its "
        "events. Exit status: 0 if printed or erased, 1 if refused or unfinished, 2 for wrong arguments."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("customer", help="username or id of the customer")
        parser.add_argument("--yes", action="store_true", help="erase; this cannot be undone")
        parser.add_argument("--json", action="store_true", help="print one JSON object instead of a list")

    def handle(self, *, customer: str, yes: bool, **options: Any) -> None:
        if not settings.SERVICE.has_accounts or settings.OPERATOR.is_set:
            raise CommandError("Run it in the service with the orders, which has the accounts.")
        from shop.operations import erasure  # which needs the orders

        user = find(customer)
        rows = erasure.rows(user)
        try:
            if yes:
                erasure.erase(user)
            else:
                erasure.require_no_open_orders(user)
        except (erasure.OpenOrders, erasure.WrittenMeanwhile) as error:
            raise CommandError(str(error)) from error
        report = {"customer": user.pk, "erased": yes, "rows": rows}
        self.stdout.write(json.dumps(report) if options["json"] else as_text(user, rows, erased=yes))


def find(customer: str) -> User:
    """
    Return the customer with this username or id.

    :raises CommandError: if there is none, if there are two, or if it is an operator.
    """
    by_id = Q(pk=customer) if ID.fullmatch(customer) else Q(pk=None)
    users = list(User.objects.filter(Q(username=customer) | by_id))
    if not users:
        raise CommandError(f"There is no customer {customer!r}. Give the username or the id.")
    if len(users) > 1:
        raise CommandError(f"{customer} is the username of one customer and the id of another. Give the other one.")
    if users[0].is_staff:
        raise CommandError(f"{customer} is an operator. Only the data of customers can be erased.")
    return users[0]


def as_text(user: User, rows: Mapping[str, int], *, erased: bool) -> str:
    if not rows:
        return f"There is nothing to erase of customer {user.pk}."
    heading = f"Erased of customer {user.pk}:" if erased else f"To erase of customer {user.pk}:"
    lines = [f"  {count:>7} {name}" for name, count in rows.items()]
    ending = [] if erased else ["Nothing was changed. With --yes it is erased, which cannot be undone."]
    return "\n".join([heading, *lines, *ending])
