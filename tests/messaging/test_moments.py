from datetime import UTC, datetime

import pytest

from messaging.kernel.moments import format_moment

WINTER, SUMMER = datetime(2026, 11, 28, 22, 5, 9, tzinfo=UTC), datetime(2026, 7, 1, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("at", "time_zone", "english", "german"),
    [
        (WINTER, "UTC", "28 November 2026, 22:05 UTC", "28. November 2026, 22:05 UTC"),
        (WINTER, "Europe/Berlin", "28 November 2026, 23:05 CET", "28. November 2026, 23:05 MEZ"),
        (SUMMER, "Europe/Berlin", "1 July 2026, 11:00 CEST", "1. Juli 2026, 11:00 MESZ"),
        (SUMMER, "Europe/London", "1 July 2026, 10:00 BST", "1. Juli 2026, 10:00 BST"),
        (SUMMER, "Europe/Istanbul", "1 July 2026, 12:00 UTC+03:00", "1. Juli 2026, 12:00 UTC+03:00"),
    ],
)
def test_is_written_in_the_time_zone_and_language(at, time_zone, english, german):
    assert [format_moment(at, language, time_zone=time_zone) for language in ("en", "de")] == [english, german]


def test_shows_seconds_where_they_matter():
    assert format_moment(WINTER, "en", time_zone="UTC", with_seconds=True) == "28 November 2026, 22:05:09 UTC"
