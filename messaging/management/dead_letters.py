"""
Choosing dead letters on the command line: one set of filters for the commands that list and replay them.
"""

from argparse import ArgumentParser
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from django.core.management.base import CommandError

from messaging.contracts import event_types
from messaging.kernel.argument_types import moment, positive
from messaging.models import Delivery, DeliveryQuerySet
from messaging.subscribers import all_subscribers

FILTERS = ("ids", "subscriber", "event_type", "error", "since")


def add_filters(parser: ArgumentParser) -> None:
    """
    Offer the filters, which narrow one another.
    """
    parser.add_argument("ids", nargs="*", type=int, metavar="ID", help="ids of dead letters; all of them when left out")
    parser.add_argument("--subscriber", default="", help="only those for this one, such as inventory.reserve_stock")
    parser.add_argument("--type", dest="event_type", default="", help="only this event, such as orders.order_placed")
    parser.add_argument("--error", default="", help="only those whose last error is of this class, such as ValueError")
    parser.add_argument("--since", type=moment, help="only those that failed since this ISO 8601 date or date and time")
    parser.add_argument("--limit", type=positive, help="at most this many, the oldest first")


def chosen(options: Mapping[str, Any]) -> DeliveryQuerySet:
    """
    Find the dead letters that these options ask for, the oldest first.

    :raises CommandError: if they name an id, a subscriber or an event that does not exist.
    """
    wishes = {name: options[name] for name in FILTERS}
    _require_ids(wishes["ids"])
    _require_name("subscriber", wishes["subscriber"], {*all_subscribers(), *_named("subscriber")})
    _require_name("type", wishes["event_type"], {*event_types(), *_named("message__type")})
    found = Delivery.objects.dead().matching(**wishes).order_by("id")
    return found[: options["limit"]]


def _named(field: str) -> Iterable[str]:
    """
    List what dead letters name, for the code may have forgotten it.
    """
    return Delivery.objects.dead().values_list(field, flat=True).distinct()


def _require_ids(ids: Collection[int]) -> None:
    unknown = sorted(set(ids) - set(Delivery.objects.filter(pk__in=ids).values_list("pk", flat=True)))
    if unknown:
        raise CommandError(f"There is no delivery {unknown[0]}: take the ids from list_dead_letters. Nothing was done.")


def _require_name(option: str, name: str, known: Collection[str]) -> None:
    if name and name not in known:
        raise CommandError(f"Nothing is called {name!r}. Give --{option} one of: {', '.join(sorted(known))}.")
