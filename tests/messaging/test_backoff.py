from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from messaging.relay import BACKOFF_CAP_SECONDS, backoff

attempts = st.integers(min_value=1, max_value=1_000)


class TestBackoff:
    @given(attempts)
    def test_waits_between_half_and_all_of_a_doubling_time(self, attempt):
        whole = min(timedelta(minutes=5), timedelta(seconds=2 ** min(attempt - 1, 20)))

        assert whole / 2 <= backoff(attempt) <= whole

    @given(attempts)
    def test_never_waits_shorter_than_half_of_what_an_earlier_attempt_may_wait(self, attempt):
        assert backoff(attempt + 1) * 2 >= backoff(attempt)

    @given(st.integers(min_value=10, max_value=1_000))
    def test_never_waits_longer_than_the_cap(self, attempt):
        assert backoff(attempt) <= timedelta(seconds=BACKOFF_CAP_SECONDS)

    def test_spreads_attempts_that_failed_together(self):
        assert len({backoff(12) for _ in range(20)}) > 1
