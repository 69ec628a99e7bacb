import random
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from messaging.backoff import (
    LONGEST_RETRY_DELAY,
    PAYMENT_QUERY_DELAYS,
    most_deferrals_within,
    outage_pause,
    retry_delay,
)

SECOND = timedelta(seconds=1)

counts = st.integers(min_value=1, max_value=1_000_000)
durations = st.timedeltas(min_value=timedelta(), max_value=timedelta(hours=1))


class TestRetryDelay:
    @given(counts)
    def test_is_between_half_and_all_of_a_doubling_time_up_to_five_minutes(self, attempt):
        longest = min(LONGEST_RETRY_DELAY, SECOND * 2 ** min(attempt - 1, 20))

        assert longest / 2 <= retry_delay(attempt) <= longest <= timedelta(minutes=5)

    def test_spreads_attempts_that_failed_together(self):
        assert len({retry_delay(12) for _ in range(20)}) > 1


class TestMostDeferralsWithin:
    @pytest.mark.parametrize("period", [SECOND * 0.4, SECOND, timedelta(hours=1), timedelta(hours=72)])
    def test_are_over_before_the_period_with_the_shortest_waits_and_after_it_with_one_more(self, period, monkeypatch):
        monkeypatch.setattr(random, "uniform", lambda shortest, _: shortest)
        most = most_deferrals_within(period)

        waited = [sum(map(retry_delay, range(1, deferrals + 1)), timedelta()) for deferrals in (most, most + 1)]

        assert waited[0] <= period < waited[1]


class TestOutagePause:
    def test_doubles_up_to_half_a_minute(self):
        assert [outage_pause(number, took=SECOND) // SECOND for number in range(1, 9)] == [1, 2, 4, 8, 16, 30, 30, 30]

    @given(counts, durations)
    def test_is_bounded_by_half_a_minute_or_five_times_a_slow_detection(self, number, took):
        pause = outage_pause(number, took=took)

        assert SECOND <= pause <= max(30 * SECOND, 5 * took)
        assert took <= SECOND or pause >= 5 * took

    @given(counts, durations)
    def test_is_never_shorter_than_the_pause_before(self, number, took):
        assert outage_pause(number + 1, took=took) >= outage_pause(number, took=took)


class TestPaymentQueryDelays:
    def test_grow_and_end_after_about_an_hour(self):
        assert sorted(set(PAYMENT_QUERY_DELAYS)) == PAYMENT_QUERY_DELAYS
        assert timedelta(hours=1) < sum(PAYMENT_QUERY_DELAYS, timedelta()) < timedelta(hours=2)
