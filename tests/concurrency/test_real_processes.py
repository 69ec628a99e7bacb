"""
Real processes, really killed. `make test` strikes once, in each way that its time allows; `make torture` strikes five
times in each way at least, and goes on until TORTURE_ORDERS are placed and each fault of the payment gateway has
happened. It strikes no more after TORTURE_SECONDS, and fails if a fault has not happened then.

On SQLite a worker that is frozen in mid-transaction keeps everybody from writing until it goes on: there is one writer,
and no server that could take the lock away. PostgreSQL ends such a session when the lease is over.
"""

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
from django.db import connection
from django.utils import timezone

from shop.operations import audit
from tests.concurrency.accounts import is_quiet
from tests.concurrency.environment import ENVIRONMENT, LEASE_SECONDS, STOP_SECONDS, WORKERS
from tests.concurrency.premises import SEED, Plan, open_shop
from tests.concurrency.report import judge, recoveries
from tests.concurrency.stage import ask_for, outcome, performers
from tests.concurrency.torture import Torture, torment
from tests.processes import freeze, kill, thaw
from tests.programs import Cluster
from tests.waiting import eventually

LONG = Plan(
    orders=int(os.environ.get("TORTURE_ORDERS", "2000")),
    burst=25,
    rounds=5,
    seconds=float(os.environ.get("TORTURE_SECONDS", "480")),
    rate=0.025,
    takes_back=0.25,
    environment={
        "ORDER_REMINDER_SECONDS": "10",
        "ORDER_PAYMENT_DUE_SECONDS": "20",
        "PAYMENT_TIMEOUT_SECONDS": "2",
        "PAYMENT_WEBHOOK_PARKING_SECONDS": "15",
        "MESSAGING_HANDLER_LIMIT_SECONDS": "6",
        "MESSAGING_LEASE_SECONDS": "8",
    },
    conduct={"delay": 0.2, "slow_seconds": 2.5, "late_seconds": 30},
)
SHORT = Plan(
    orders=150,
    burst=15,
    rounds=1,
    seconds=0,
    harms=["kill_simulator", "kill_web_server", "kill_busy_worker"],
    rate=0.03,
    of_each=3,
    takes_back=0.9,
    environment={
        "ORDER_REMINDER_SECONDS": "2",
        "ORDER_PAYMENT_DUE_SECONDS": "5",
        "PAYMENT_TIMEOUT_SECONDS": "1",
        "PAYMENT_WEBHOOK_PARKING_SECONDS": "3",
        "MESSAGING_HANDLER_LIMIT_SECONDS": "3",
        "MESSAGING_LEASE_SECONDS": "4",
    },
    conduct={"delay": 0.1, "slow_seconds": 1.3, "late_seconds": 6},
)


def run(plan: Plan, folder, database_url, settings, tell) -> None:
    """
    Torture a shop as planned, and find nothing wrong in the end.
    """
    tell(f"torture with TORTURE_SEED={SEED}; the same again: TORTURE_SEED={SEED} TORTURE_ORDERS={plan.orders}")
    with open_shop(plan, folder, database_url) as shop:
        settings.PAYMENTS = replace(settings.PAYMENTS, **shop.payments())
        torture = Torture(shop, plan)
        torture.harm()
        torture.finish()
        report = judge(torture)
    report.show(tell)
    assert {kind: number for kind, number in report.wrong.items() if number} == {}
    assert torture.missing() == [], "this run is void: these faults never happened"


def cluster_on(folder: Path, database_url: str, **changes: str) -> Cluster:
    """
    Return a cluster of two workers on this database, with these changes of its environment.
    """
    environment = ENVIRONMENT | {"DATABASE_URL": database_url} | changes
    return Cluster(folder / "cluster.log", workers=WORKERS, environment=environment)


class TestCluster:
    def test_survives_a_bad_minute(self, database_url, tmp_path, tell):
        with cluster_on(tmp_path, database_url) as cluster:
            saboteur, found = torment(cluster)

        for harm, recovery in recoveries(saboteur).items():
            tell(f"{harm}: {recovery}")
        assert {kind: number for kind, number in found.items() if number} == {}
        assert audit.run(now=timezone.now()).violated == []
        assert "database is locked" not in cluster.output


class TestShop:
    def test_survives_its_payment_gateway(self, database_url, tmp_path, settings, tell):
        run(SHORT, tmp_path, database_url, settings, tell)


@pytest.mark.torture
class TestTorture:
    def test_loses_and_doubles_nothing(self, database_url, tmp_path, settings, tell):
        run(LONG, tmp_path, database_url, settings, tell)


class TestWorker:
    def test_finishes_the_batch_in_hand_when_asked_to_stop(self, database_url, tmp_path, tell):
        with cluster_on(tmp_path, database_url) as cluster:
            (long,) = ask_for({"sleep": 1.5})
            eventually(lambda: performers(cluster))

            seconds = cluster.stop(within=STOP_SECONDS)

        tell(f"a cluster with a handler of 1.5 s in hand stopped after {seconds:.1f} s")
        assert outcome(long) == ("delivered", 1, 1)
        assert cluster.status == 0

    def test_ends_itself_when_its_supervisor_is_gone(self, database_url, tmp_path, tell):
        with cluster_on(tmp_path, database_url) as cluster:
            kill(*cluster.pids("sentinel"))

            seconds = eventually(lambda: not cluster.pids("worker"), within=3)

        tell(f"orphaned workers ended themselves after {seconds:.1f} s")

    def test_is_ended_by_a_handler_that_hangs_or_crashes_but_not_for_ever(self, database_url, tmp_path, tell):
        with cluster_on(tmp_path, database_url, MESSAGING_MAX_ATTEMPTS="3"):
            hanging, crashing, *good = ask_for({"sleep": 60}, {"die": True}, *[{}] * 200)

            served = eventually(lambda: all(outcome(delivery)[0] == "delivered" for delivery in good))
            eventually(lambda: outcome(hanging)[0] == outcome(crashing)[0] == "dead")

        tell(f"200 neighbours of a hanging and a crashing message were served after {served:.1f} s")
        assert (outcome(hanging), outcome(crashing)) == (("dead", 4, 0), ("dead", 4, 0))
        assert {outcome(delivery)[::2] for delivery in good} == {("delivered", 1)}

    def test_leaves_its_work_to_another_when_frozen_beyond_its_lease(self, database_url, tmp_path):
        with cluster_on(tmp_path, database_url) as cluster:
            (slow,) = ask_for({"sleep": 1})
            eventually(lambda: performers(cluster))
            frozen = performers(cluster)[0]

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
        with cluster_on(tmp_path, database_url) as cluster:
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
