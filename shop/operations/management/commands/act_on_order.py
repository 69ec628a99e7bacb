from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.forms import ValidationError
from django.utils import timezone

from messaging.management.shell import log_from_shell, shell_user
from orders.finding import find_orders
from orders.models import Order
from shop.http.order_panels import NotPossible, OrderAction, all_actions


class Command(BaseCommand):
    help = (
        "Do with an order what an operator may do on its page in the admin, such as refund, send-again or ask-gateway. "
        "It says what that means, and what was done; the admin's log and the order's timeline name the user of the "
        "shell. Exit status: 0 if done, 1 if it is not possible or no order or several are found, 2 for wrong "
        "arguments."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("order", help="its number, or what else trace_order finds an order by")
        parser.add_argument("action", choices=[action.name for action in all_actions()], help="what to do")
        parser.add_argument(
            "fields",
            nargs="*",
            type=_field,
            metavar="FIELD=VALUE",
            help="what the action's form asks for, such as amount=12.50 or reason='One chair was scratched.'",
        )
        parser.add_argument("--dry-run", action="store_true", help="do nothing, print what it means")

    def handle(self, *, order: str, action: str, fields: Sequence[tuple[str, str]], **options: Any) -> None:
        found = _find(order)
        form = _form_for(found, action, dict(fields))
        try:
            for consequence in form.consequences():
                self.stdout.write(consequence)
            if options["dry_run"]:
                return
            _require_valid(form)
            self.stdout.write(f"{found}: {_perform(found, form)}")
        except NotPossible as refusal:
            raise CommandError(str(refusal)) from refusal


def _field(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ArgumentTypeError(f"{text!r} is not of the form FIELD=VALUE")
    return name, value


def _find(term: str) -> Order:
    found = list(Order.objects.filter(pk__in=find_orders(term, limit=2)))
    if len(found) != 1:
        problem = "Several orders match" if found else "No order matches"
        raise CommandError(f"{problem} {term!r}. Nothing was changed: see trace_order.")
    return found[0]


def _form_for(order: Order, action: str, fields: dict[str, str]) -> OrderAction:
    """
    Return the filled-in form of an action; what is not given has the value that the page proposes.

    :raises CommandError: if it has no such field.
    """
    action_class = {each.name: each for each in all_actions()}[action]
    empty = action_class(order.pk)
    if unknown := fields.keys() - empty.fields.keys():
        names = ", ".join(name for name, field in empty.fields.items() if not field.widget.is_hidden)
        raise CommandError(f"There is no field {min(unknown)!r}. Choose from: {names}.", returncode=2)
    proposed = {name: field.initial for name, field in empty.fields.items() if field.initial is not None}
    return action_class(order.pk, {**proposed, **fields})


def _require_valid(form: OrderAction) -> None:
    if not form.is_valid():
        problems = [f"{field}: {' '.join(map(str, errors))}" for field, errors in form.errors.items()]
        raise CommandError(f"{' '.join(problems)} Nothing was changed.", returncode=2)


def _perform(order: Order, form: OrderAction) -> str:
    try:
        with transaction.atomic() if form.is_transactional else nullcontext():
            done = form.perform(by=shell_user(), now=timezone.now())
            log_from_shell([order], done, form.why())
    except ValidationError as error:
        raise CommandError(f"{' '.join(error.messages)} Nothing was changed.", returncode=2) from error
    return done
