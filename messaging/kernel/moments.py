"""
Times as customers read them: in the shop's time zone, with its abbreviation.
"""

from datetime import datetime
from functools import cache
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import DateTimePattern, get_timezone_gmt, get_timezone_name, parse_pattern

PATTERNS = {"de": "d. MMMM y, HH:mm"}
"""By language, in the notation of CLDR."""
OTHER_PATTERN = "d MMMM y, HH:mm"


def format_moment(at: datetime, language: str, *, time_zone: str, with_seconds: bool = False) -> str:
    """
    Return a time as people write it: "28 November 2026, 22:30 CET" in "en", "28. November 2026, 22:30 MEZ" in "de".

    :param at: aware.
    :param time_zone: of the IANA database, such as "Europe/Berlin".
    :raises babel.UnknownLocaleError: if CLDR does not know the language.
    """
    locale, pattern = _format(language, with_seconds)
    local = at.astimezone(ZoneInfo(time_zone))
    return f"{pattern.apply(local, locale)} {_abbreviation(local, locale)}"


@cache
def _format(language: str, with_seconds: bool) -> tuple[Locale, DateTimePattern]:  # noqa: FBT001
    pattern = PATTERNS.get(language, OTHER_PATTERN)
    return Locale.parse(language), parse_pattern(f"{pattern}:ss" if with_seconds else pattern)


def _abbreviation(local: datetime, locale: Locale) -> str:
    """
    Return the zone's abbreviation in the language, or in the IANA database, or else its distance from UTC: "UTC+03:00".
    """
    for name in (get_timezone_name(local, "short", locale=locale), local.tzname() or ""):
        if name.isalpha():
            return name
    return f"UTC{get_timezone_gmt(local, 'iso8601')}"
