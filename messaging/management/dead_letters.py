"""
Filters for dead letters on the command line, for the commands that list, replay and discard them.
"""

from argparse import ArgumentParser
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

from django.core.management.base import CommandError
from django.template.defaultfilters import pluralize

from messaging import dead_letters
from messaging.contracts import event_types
from messaging.kernel.argument_types import moment, positive
from messaging.models import Delivery, DeliveryQuerySet
from messaging.subscribers import all_subscribers

FILTERS = ("ids", "subscriber", "event_type", "error", "fingerprint", "since")


def add_filters(parser: ArgumentParser) -> None:
    """
    Add the filters; a dead letter has to match all that are given.
    """
    parser.add_argument("ids", nargs="*", type=int, metavar="ID", help="ids of dead letters (default: all)")
    parser.add_argument("--subscriber", default="", help="by subscriber, such as inventory.reserve_stock")
    parser.add_argument("--type", dest="event_type", default="", help="by event type, such as orders.order_placed")
    parser.add_argument("--error", default="", help="by the class of the last error, such as ValueError")
    parser.add_argument("--fingerprint", default="", help="by the fingerprint that list_dead_letters --group prints")
    parser.add_argument("--since", type=moment, help="failed since this ISO 8601 date or date and time")
    parser.add_argument("--limit", type=positive, help="at most this many, oldest first")


def chosen(options: Mapping[str, Any]) -> DeliveryQuerySet:
    """
    Return the dead letters that match the options, oldest first.

    :raises CommandError: if an id, a subscriber or an event type does not exist.
    """
    return matching(options).order_by("id")[: options["limit"]]


def matching(options: Mapping[str, Any]) -> DeliveryQuerySet:
    """
    Return the dead letters that match the options, however many.

    :raises CommandError: if an id, a subscriber or an event type does not exist.
    """
    filters = {name: options[name] for name in FILTERS}
    _require_ids(filters["ids"])
    _require_name("subscriber", filters["subscriber"], {*all_subscribers(), *_values_of("subscriber")})
    _require_name("type", filters["event_type"], {*event_types(), *_values_of("message__type")})
    return dead_letters.matching(**filters)


def described_filters(options: Mapping[str, Any]) -> str:
    """
    Return the filters as they are written on the command line; empty if there are none.
    """
    names = {"subscriber": "subscriber", "event_type": "type", "error": "error", "fingerprint": "fingerprint"}
    texts = [f"--{name} {options[field]}" for field, name in names.items() if options[field]]
    if isinstance(since := options["since"], datetime):
        texts.append(f"--since {since.isoformat()}")
    if options["limit"]:
        texts.append(f"--limit {options['limit']}")
    return " ".join([*map(str, options["ids"]), *texts])


def described_number(number: int) -> str:
    return f"{number} dead letter{pluralize(number)}"


def _values_of(field: str) -> Iterable[str]:
    """
    Return the values of a field among dead letters: the code may no longer define them.
    """
    return Delivery.objects.dead().values_list(field, flat=True).distinct()


def _require_ids(ids: Collection[int]) -> None:
    known = set(Delivery.objects.filter(pk__in=[each for each in ids if 0 < each < 2**63]).values_list("pk", flat=True))
    if unknown := sorted(set(ids) - known):
        raise CommandError(f"There is no delivery {unknown[0]}; list_dead_letters prints the ids. Nothing was changed.")


def _require_name(option: str, name: str, names: Collection[str]) -> None:
    if name and name not in names:
        raise CommandError(f"There is no {option} {name!r}. Choose from: {', '.join(sorted(names))}.")
