"""
Types of command-line arguments, for `ArgumentParser.add_argument(type=…)`.
"""

from argparse import ArgumentTypeError
from datetime import datetime

from django.utils import timezone


def moment(text: str) -> datetime:
    """
    Read a date or a date and time, in the shop's time zone unless it names another.

    :raises ArgumentTypeError: if it is neither.
    """
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no date. Write 2026-11-22, or 2026-11-22T18:30.") from None
    return read if timezone.is_aware(read) else timezone.make_aware(read)


def positive(text: str) -> int:
    """
    Read a whole number above zero.

    :raises ArgumentTypeError: if it is none.
    """
    if not text.isdecimal() or int(text) == 0:
        raise ArgumentTypeError(f"{text!r} is not a whole number above zero.")
    return int(text)


def seconds(text: str) -> float:
    """
    Read a time in seconds, above zero.

    :raises ArgumentTypeError: if it is none.
    """
    try:
        read = float(text)
    except ValueError:
        read = 0
    if not 0 < read < float("inf"):
        raise ArgumentTypeError(f"{text!r} is not a number of seconds above zero.")
    return read
