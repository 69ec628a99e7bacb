import threading

import pytest

from shop.monitoring import cached
from shop.monitoring.cached import FRESH_SECONDS, Busy, Cached
from tests.messaging.concurrency import in_thread


class TestCached:
    def test_computes_once_a_second(self):
        now, computed = [0.0], iter(range(10))
        numbers = Cached(lambda: next(computed), clock=lambda: now[0])

        first, second = numbers.get(), numbers.get()
        now[0] += FRESH_SECONDS
        third = numbers.get()

        assert (first, second, third) == (0, 0, 1)

    def test_keeps_no_failure(self):
        results = iter([ZeroDivisionError(), 1])

        def compute() -> int:
            if isinstance(result := next(results), Exception):
                raise result
            return result

        numbers = Cached(compute)
        with pytest.raises(ZeroDivisionError):
            numbers.get()

        assert numbers.get() == 1

    def test_blocks_no_other_request_while_the_database_hangs(self, monkeypatch):
        monkeypatch.setattr(cached, "WAIT_SECONDS", 0.01)
        begun, end = threading.Event(), threading.Event()

        def hang() -> bool:
            begun.set()
            return end.wait(20)

        numbers = Cached(hang)
        with in_thread(numbers.get):
            begun.wait(20)
            try:
                with pytest.raises(Busy):
                    numbers.get()
            finally:
                end.set()

        assert numbers.get() is True
