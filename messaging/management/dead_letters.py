"""
Filters for dead letters on the command line, for the commands that list and replay them.
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
    Add the filters; a dead letter has to match all that are given.
    """
    parser.add_argument("ids", nargs="*", type=int, metavar="ID", help="ids of dead letters (default: all)")
    parser.add_argument("--subscriber", default="", help="by subscriber, such as inventory.reserve_stock")
    parser.add_argument("--type", dest="event_type", default="", help="by event type, such as orders.order_placed")
    parser.add_argument("--error", default="", help="by the class of the last error, such as ValueError")
    parser.add_argument("--since", type=moment, help="failed since this ISO 8601 date or date and time")
    parser.add_argument("--limit", type=positive, help="at most this many, oldest first")


def chosen(options: Mapping[str, Any]) -> DeliveryQuerySet:
    """
    Return the dead letters that match the options, oldest first.

    :raises CommandError: if an id, a subscriber or an event type does not exist.
    """
    filters = {name: options[name] for name in FILTERS}
    _require_ids(filters["ids"])
    _require_name("subscriber", filters["subscriber"], {*all_subscribers(), *_values_of("subscriber")})
    _require_name("type", filters["event_type"], {*event_types(), *_values_of("message__type")})
    return Delivery.objects.dead().matching(**filters).order_by("id")[: options["limit"]]


def _values_of(field: str) -> Iterable[str]:
    """
    Return the values of a field among dead letters: the code may no longer define them.
    """
    return Delivery.objects.dead().values_list(field, flat=True).distinct()


def _require_ids(ids: Collection[int]) -> None:
    unknown = sorted(set(ids) - set(Delivery.objects.filter(pk__in=ids).values_list("pk", flat=True)))
    if unknown:
        raise CommandError(f"There is no delivery {unknown[0]}; list_dead_letters prints the ids. Nothing was changed.")


def _require_name(option: str, name: str, names: Collection[str]) -> None:
    if name and name not in names:
        raise CommandError(f"There is no {option} {name!r}. Choose from: {', '.join(sorted(names))}.")
