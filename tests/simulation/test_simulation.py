"""
The whole shop, simulated: thousands of steps in random order, with checks of all records after each of them.

SIMULATION_SEED selects other runs, SIMULATION_RUNS and SIMULATION_STEPS more or longer ones: about 200 runs meet every
fault and every end, and `make torture` requires that of 2,000. The audit takes ten times as long as a step, so it runs
after every SIMULATION_AUDIT_EVERY-th change, and at the end of each run; with 1, Hypothesis can shorten a failed run
further.
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
from .simulated_shop import open_shop
from .statistics import ENDS, FAULTS, RULES, Statistics

SEED = int(os.environ.get("SIMULATION_SEED", "20300601"))
STEPS = int(os.environ.get("SIMULATION_STEPS", "50"))

BACKEND = "fresh"
"""Hypothesis without repetition: by default, five of six runs repeat parts of an earlier one, and are short."""
AVAILABLE_PROVIDERS[BACKEND] = AVAILABLE_PROVIDERS["hypothesis"]


def option(name: str, default: int) -> int:
    return int(os.environ.get(f"SIMULATION_{name}", str(default)))


@pytest.fixture
def _quiet() -> Iterator[None]:
    """
    Log nothing, and set no time limit: to shorten a failed run may take five minutes more.
    """
    faulthandler.cancel_dump_traceback_later()
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture
def simulate(db, _quiet, summarize) -> Callable[..., Statistics]:
    """
    Execute so many runs, and return the statistics.
    """

    def simulate(*, runs: int, audit_every: int) -> Statistics:
        statistics, began = Statistics(), time.perf_counter()
        attributes = {"customer": open_shop(), "statistics": statistics, "audit_every": audit_every}
        try:
            run_state_machine_as_test(seed(SEED)(type("Run", (Simulation,), attributes)), settings=_settings(runs))
        finally:
            seconds = time.perf_counter() - began
            completed = f"{statistics.runs} runs of {STEPS} steps, {statistics.audits} audits in {seconds:.0f} s"
            summarize(f"simulation, seed {SEED}: {completed}")
            for line in statistics.lines():
                summarize(line)
        return statistics

    return simulate


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
    def test_keeps_its_records_in_agreement(self, simulate):
        runs = option("RUNS", 30)

        statistics = simulate(runs=runs, audit_every=option("AUDIT_EVERY", 20))

        assert statistics.lengths[STEPS] >= runs
        assert statistics.missing(RULES) == []

    @pytest.mark.torture
    def test_keeps_its_records_in_agreement_for_long(self, simulate):
        runs = option("RUNS", 2_000)

        statistics = simulate(runs=runs, audit_every=option("AUDIT_EVERY", 1))

        assert statistics.lengths[STEPS] >= runs
        assert statistics.missing(RULES | FAULTS | ENDS) == []
