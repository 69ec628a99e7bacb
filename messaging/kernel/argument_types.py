"""
Types of command-line arguments, for `ArgumentParser.add_argument(type=…)`.
"""

from argparse import ArgumentTypeError
from datetime import datetime

from django.utils import timezone


def moment(text: str) -> datetime:
    """
    Return an aware datetime from an ISO 8601 date or date and time, by default in the shop's time zone.

    :raises ArgumentTypeError: if the text is neither.
    """
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a date. Write 2026-11-22, or 2026-11-22T18:30.") from None
    return parsed if timezone.is_aware(parsed) else timezone.make_aware(parsed)


def positive(text: str) -> int:
    """
    Return a whole number above zero.

    :raises ArgumentTypeError: if the text is none.
    """
    if not text.isdecimal() or int(text) == 0:
        raise ArgumentTypeError(f"{text!r} is not a whole number above zero.")
    return int(text)


def seconds(text: str) -> float:
    """
    Return a finite number of seconds above zero.

    :raises ArgumentTypeError: if the text is none.
    """
    try:
        parsed = float(text)
    except ValueError:
        parsed = 0
    if not 0 < parsed < float("inf"):
        raise ArgumentTypeError(f"{text!r} is not a number of seconds above zero.")
    return parsed
