"""
A cluster stops within the limit of its handlers plus 2 s, whatever was killed before, and leaves no process behind.

It has one worker. While idle, that worker holds the lock of django-q2's queue, and loses it when it is killed.
"""

import os
import signal

import pytest

from tests.concurrency.environment import LIMIT_SECONDS, make_cluster
from tests.concurrency.scripted.requests import Outcome, outcome, pids_of_scripts, request
from tests.processes import freeze, kill
from tests.waiting import eventually

pytestmark = pytest.mark.django_db(transaction=True)

STOP_SECONDS = LIMIT_SECONDS + 2

FINISHED = Outcome("delivered", attempts=1)
UNTOUCHED = Outcome("pending", attempts=0, completed=0)


@pytest.fixture
def starting_cluster(tmp_path):
    cluster = make_cluster(tmp_path, workers=1, MESSAGING_BATCH_SIZE="1")
    cluster.launch()
    yield cluster
    cluster.kill()


@pytest.fixture
def cluster(starting_cluster):
    eventually(starting_cluster.is_ready)
    [delivery] = request({})
    eventually(lambda: outcome(delivery) == FINISHED)  # its worker waits for chores by now, and holds their lock
    return starting_cluster


def begin_the_first_of_two(cluster):
    """Request two deliveries, wait until the worker has begun the first, and return both."""
    began = len(pids_of_scripts(cluster))
    deliveries = request({"sleep": 0.7}, {})
    eventually(lambda: len(pids_of_scripts(cluster)) > began)
    return deliveries


def assert_ended(cluster, *, status):
    assert cluster.wait(within=STOP_SECONDS) == status
    eventually(lambda: not cluster.members(), within=1)  # a process may have closed its files but not be a zombie yet


def assert_ended_after_the_first(cluster, deliveries, *, status):
    assert_ended(cluster, status=status)
    assert [outcome(delivery) for delivery in deliveries] == [FINISHED, UNTOUCHED]


class TestSigterm:
    @pytest.mark.parametrize("killed", ["nothing", "worker", "pusher", "monitor"])
    def test_finishes_the_current_batch_and_claims_no_other(self, cluster, killed):
        kill(*cluster.pids_by_role().get(killed, []))
        eventually(cluster.is_ready)
        deliveries = begin_the_first_of_two(cluster)

        cluster.send(signal.SIGTERM)
        cluster.send(signal.SIGTERM)

        assert_ended_after_the_first(cluster, deliveries, status=0)

    def test_stops_after_a_worker_was_ended_for_a_handler_beyond_its_limit(self, cluster):
        [worker] = cluster.pids("worker")
        request({"sleep": 60})
        eventually(lambda: cluster.is_ready() and cluster.pids("worker") != [worker])

        cluster.send(signal.SIGTERM)

        assert_ended(cluster, status=0)

    @pytest.mark.parametrize("processes", [2, 4])
    def test_stops_while_it_starts(self, starting_cluster, processes):
        eventually(lambda: len(starting_cluster.members()) >= processes, every=0)

        starting_cluster.send(signal.SIGTERM)

        assert starting_cluster.wait(within=STOP_SECONDS) in {0, -signal.SIGTERM}
        eventually(lambda: not starting_cluster.members(), within=1)

    def test_kills_a_frozen_process(self, cluster):
        freeze(*cluster.pids("worker"))

        cluster.send(signal.SIGTERM)

        assert_ended(cluster, status=-signal.SIGKILL)


class TestCtrlC:
    def test_finishes_the_current_batch_and_claims_no_other(self, cluster):
        deliveries = begin_the_first_of_two(cluster)

        os.killpg(cluster.pid, signal.SIGINT)

        assert_ended_after_the_first(cluster, deliveries, status=0)


class TestDeath:
    def test_of_the_sentinel_ends_the_cluster_after_the_current_batch(self, cluster):
        deliveries = begin_the_first_of_two(cluster)

        kill(*cluster.pids("sentinel"))

        assert_ended_after_the_first(cluster, deliveries, status=1)

    def test_of_the_main_process_ends_the_others_after_the_current_batch(self, cluster):
        deliveries = begin_the_first_of_two(cluster)

        kill(cluster.pid)

        eventually(lambda: not cluster.members(), within=STOP_SECONDS)
        assert_ended_after_the_first(cluster, deliveries, status=-signal.SIGKILL)
