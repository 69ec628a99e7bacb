"""
Real workers, really killed. `make test` strikes once in each way; `make torture` goes on for TORTURE_SECONDS.

On SQLite a worker that is frozen in mid-transaction keeps everybody from writing until it goes on: there is one writer,
and no server that could take the lock away. PostgreSQL ends such a session when the lease is over.
"""

import os
import random
import time

import pytest
from django.db import connection
from django.utils import timezone

from shop import audit
from tests.concurrency import accounts
from tests.concurrency.cluster import LEASE_SECONDS, Cluster, eventually
from tests.concurrency.stage import ask_for, outcome
from tests.concurrency.torture import Customer, Saboteur, freeze, is_quiet, kill, thaw

SEED = int(os.environ.get("TORTURE_SEED", "1"))
SECONDS = float(os.environ.get("TORTURE_SECONDS", "300"))


def torment(cluster, tell, *, tokens, seconds) -> None:
    """
    Strike in every way at least once and until the time is up, then look for what was lost or doubled.
    """
    tell(f"torture with TORTURE_SEED={SEED}")
    dice = random.Random(SEED)
    customer = Customer(dice, tokens)
    saboteur = Saboteur(cluster, customer, dice)
    end = time.monotonic() + seconds
    while not saboteur.recoveries or time.monotonic() < end:
        for fault in saboteur.faults():
            saboteur.strike(fault)
    eventually(accounts.are_ready, within=120)
    found = accounts.findings(customer.expected)
    for fault, recoveries in saboteur.recoveries.items():
        tell(f"{fault}: {len(recoveries)} times, delivering again after at most {max(recoveries):.1f} s")
    faults = sum(map(len, saboteur.recoveries.values()))
    tell(f"{faults} faults, {len(customer.expected)} orders, {sum(found.values())} findings")
    assert {kind: number for kind, number in found.items() if number} == {}
    assert audit.run(now=timezone.now()).violated == []
    assert "database is locked" not in cluster.log.read_text()


class TestCluster:
    def test_survives_a_bad_minute(self, database_url, tmp_path, tell):
        with Cluster(tmp_path, database_url) as cluster:
            torment(cluster, tell, tokens=["tok_visa", "tok_visa", "tok_declined"], seconds=0)


@pytest.mark.torture
class TestTorture:
    def test_loses_and_doubles_nothing(self, database_url, tmp_path, tell):
        times = {"ORDER_REMINDER_SECONDS": "30", "ORDER_PAYMENT_DUE_SECONDS": "60"}
        with Cluster(tmp_path, database_url, **times) as cluster:
            torment(cluster, tell, tokens=["tok_visa", "tok_declined", "tok_timeout", "tok_pending"], seconds=SECONDS)


class TestWorker:
    def test_finishes_the_batch_in_hand_when_asked_to_stop(self, database_url, tmp_path, tell):
        with Cluster(tmp_path, database_url) as cluster:
            (long,) = ask_for({"sleep": 1.5})
            eventually(cluster.performers)

            seconds = cluster.stop()

        tell(f"a cluster with a handler of 1.5 s in hand stopped after {seconds:.1f} s")
        assert outcome(long) == ("delivered", 1, 1)
        assert cluster.master.returncode == 0

    def test_ends_itself_when_its_supervisor_is_gone(self, database_url, tmp_path, tell):
        with Cluster(tmp_path, database_url) as cluster:
            kill(*cluster.pids("sentinel"))

            seconds = eventually(lambda: not cluster.pids("worker"), within=3)

        tell(f"orphaned workers ended themselves after {seconds:.1f} s")

    def test_is_ended_by_a_handler_that_hangs_or_crashes_but_not_for_ever(self, database_url, tmp_path, tell):
        with Cluster(tmp_path, database_url, MESSAGING_MAX_ATTEMPTS="3"):
            hanging, crashing, *good = ask_for({"sleep": 60}, {"die": True}, *[{}] * 200)

            served = eventually(lambda: all(outcome(delivery)[0] == "delivered" for delivery in good))
            eventually(lambda: outcome(hanging)[0] == outcome(crashing)[0] == "dead")

        tell(f"200 neighbours of a hanging and a crashing message were served after {served:.1f} s")
        assert (outcome(hanging), outcome(crashing)) == (("dead", 4, 0), ("dead", 4, 0))
        assert {outcome(delivery)[::2] for delivery in good} == {("delivered", 1)}

    def test_leaves_its_work_to_another_when_frozen_beyond_its_lease(self, database_url, tmp_path):
        with Cluster(tmp_path, database_url) as cluster:
            (slow,) = ask_for({"sleep": 1})
            eventually(cluster.performers)
            frozen = cluster.performers()[0]

            freeze(frozen)
            if connection.vendor == "postgresql":
                eventually(lambda: outcome(slow)[0] == "delivered")
            else:
                time.sleep(LEASE_SECONDS + 1)
            thaw(frozen)

            eventually(lambda: outcome(slow)[0] == "delivered")
            eventually(is_quiet)
        assert outcome(slow)[::2] == ("delivered", 1)

    def test_outlives_the_connections_that_its_database_drops(self, database_url, tmp_path):
        with Cluster(tmp_path, database_url) as cluster:
            workers = cluster.pids("worker")
            drop_other_connections()

            (asked,) = ask_for({})

            eventually(lambda: outcome(asked) == ("delivered", 1, 1))
            assert cluster.pids("worker") == workers


def drop_other_connections() -> None:
    """
    Do what a server does that is restarted; SQLite has none.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
