"""
The whole shop, simulated: thousands of steps in random order, and the books in agreement after each of them.

SIMULATION_SEED tells other stories, SIMULATION_RUNS and SIMULATION_STEPS more or longer ones. The audit costs ten times
as much as what it looks at, so it looks at every SIMULATION_AUDIT_EVERY-th change, and at each story's end; with 1, a
story that goes wrong is told shorter.
"""

import faulthandler
import logging
import os
import time
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, Phase, Verbosity, seed, settings
from hypothesis.internal.conjecture.providers import AVAILABLE_PROVIDERS
from hypothesis.stateful import run_state_machine_as_test

from .machine import Simulation
from .scene import open_the_shop
from .tally import Tally

SEED = int(os.environ.get("SIMULATION_SEED", "20300601"))
STEPS = int(os.environ.get("SIMULATION_STEPS", "50"))

BACKEND = "fresh"
"""Hypothesis, but each story is a new one: by default five of six repeat parts of an earlier one, and are short."""
AVAILABLE_PROVIDERS[BACKEND] = AVAILABLE_PROVIDERS["hypothesis"]


def asked_for(what: str, default: int) -> int:
    return int(os.environ.get(f"SIMULATION_{what}", str(default)))


@pytest.fixture
def _quiet() -> Iterator[None]:
    """
    Log nothing, and take the time: to find the shortest story that goes wrong may take five minutes more.
    """
    faulthandler.cancel_dump_traceback_later()
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture
def simulate(db, _quiet, summarize) -> Callable[..., Tally]:
    """
    Tell so many stories, and count what happened in them.
    """

    def tell_stories(*, runs: int, audit_every: int) -> Tally:
        tally, began = Tally(), time.perf_counter()
        about = {"customer": open_the_shop(), "tally": tally, "audit_every": audit_every}
        try:
            run_state_machine_as_test(seed(SEED)(type("Story", (Simulation,), about)), settings=_settings(runs))
        finally:
            took = time.perf_counter() - began
            summarize(
                f"simulation, seed {SEED}: {tally.runs} runs of {STEPS} steps, {tally.audits} audits in {took:.0f} s"
            )
            for line in tally.lines():
                summarize(line)
        return tally

    return tell_stories


def _settings(runs: int) -> settings:
    return settings(
        max_examples=runs + 2 + runs // 100,  # one in a thousand or so ends early
        stateful_step_count=STEPS,
        backend=BACKEND,
        derandomize=False,
        database=None,
        deadline=None,
        print_blob=True,
        verbosity=Verbosity.normal,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )


class TestShop:
    def test_keeps_its_books_whatever_happens(self, simulate):
        runs = asked_for("RUNS", 200)

        tally = simulate(runs=runs, audit_every=asked_for("AUDIT_EVERY", 20))

        assert tally.lengths[STEPS] >= runs
        assert tally.never == []

    @pytest.mark.torture
    def test_keeps_its_books_for_long(self, simulate):
        runs = asked_for("RUNS", 2_000)

        tally = simulate(runs=runs, audit_every=asked_for("AUDIT_EVERY", 1))

        assert tally.lengths[STEPS] >= runs
        assert tally.never == []
