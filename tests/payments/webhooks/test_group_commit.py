from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event

import pytest

from payments.webhooks.group_commit import GroupCommit
from tests.waiting import eventually


class Interrupted(BaseException):
    """The thread that commits is interrupted."""


class SlowDatabase:
    """Commits the value "first" only when it is released, and fails for values that begin with "bad"."""

    def __init__(self) -> None:
        self.commit = GroupCommit(self._commit)
        self.groups: list[list[str]] = []
        self.is_committing, self.is_released = Event(), Event()
        self.interruptions: list[BaseException] = []
        """Each is raised by one commit of several values."""

    def _commit(self, values: Sequence[str]) -> list[str]:
        self.groups.append(list(values))
        if list(values) == ["first"]:
            self.is_committing.set()
            assert self.is_released.wait(60)
        if len(values) > 1 and self.interruptions:
            raise self.interruptions.pop()
        if any(value.startswith("bad") for value in values):
            raise ValueError(*values)
        return [f"{value} is stored" for value in values]

    def waiting(self) -> int:
        return len(self.commit._waiting)


@pytest.fixture
def database() -> SlowDatabase:
    return SlowDatabase()


@pytest.fixture
def threads():
    with ThreadPoolExecutor(10) as pool:
        yield pool


def arrive(database: SlowDatabase, threads: ThreadPoolExecutor, *values: str) -> list[Future[str]]:
    """Commit "first", and let the other values arrive meanwhile, one after the other."""
    arrivals = [threads.submit(database.commit, "first")]
    assert database.is_committing.wait(60)
    for number, value in enumerate(values, 1):
        arrivals.append(threads.submit(database.commit, value))
        eventually(lambda number=number: database.waiting() == number)
    assert not any(arrival.done() for arrival in arrivals)
    database.is_released.set()
    return arrivals


class TestGroupCommit:
    def test_commits_a_value_that_arrives_alone_at_once(self, database):
        assert [database.commit("one"), database.commit("two")] == ["one is stored", "two is stored"]

        assert database.groups == [["one"], ["two"]]

    def test_commits_together_what_arrives_during_a_commit_in_the_order_of_arrival(self, database, threads):
        arrivals = arrive(database, threads, "b", "a", "c")

        assert [arrival.result() for arrival in arrivals] == [f"{it} is stored" for it in ("first", "b", "a", "c")]
        assert database.groups == [["first"], ["b", "a", "c"]]

    def test_fails_for_the_value_that_caused_it_only(self, database, threads):
        first, *arrivals, bad = arrive(database, threads, "a", "b", "bad")

        assert [arrival.result() for arrival in [first, *arrivals]] == [f"{it} is stored" for it in ("first", "a", "b")]
        with pytest.raises(ValueError, match="bad"):
            bad.result()
        assert sorted(database.groups) == sorted([["first"], ["a", "b", "bad"], ["a"], ["b"], ["bad"]])
        assert database.commit("later") == "later is stored"

    def test_raises_the_error_about_a_value_that_arrived_alone(self, database):
        with pytest.raises(ValueError, match="bad"):
            database.commit("bad")

        assert database.groups == [["bad"]]

    def test_leaves_no_thread_waiting_for_one_that_is_interrupted(self, database, threads):
        database.interruptions.append(Interrupted())

        _, *arrivals = arrive(database, threads, "a", "b", "c")

        errors = [arrival.exception() for arrival in arrivals]
        assert [type(error) for error in errors if error] == [Interrupted]
        assert [arrival.result() for arrival, error in zip(arrivals, errors, strict=True) if not error] == [
            f"{value} is stored" for value, error in zip("abc", errors, strict=True) if not error
        ]
