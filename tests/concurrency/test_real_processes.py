"""
Real processes, really killed. `make test` injects each fault once that its time allows. `make torture` injects each at
least five times, and goes on until TORTURE_ORDERS are placed and each fault of the payment gateway has happened; it
stops injecting after TORTURE_SECONDS, and fails if a fault is then still missing.

On SQLite a worker that is frozen in mid-transaction blocks every writer until it continues: there is no server that
could take its lock away. PostgreSQL ends such a session when the lease is over.
"""

import os
import time
from dataclasses import replace

import pytest
from django.db import connection
from django.utils import timezone

from shop.operations import audit
from tests.concurrency.consistency import all_delivered
from tests.concurrency.environment import LEASE_SECONDS, make_cluster
from tests.concurrency.report import recoveries, report_on
from tests.concurrency.running_shop import SEED, Plan, running_shop
from tests.concurrency.scripted.requests import Outcome, outcome, pids_of_scripts, request
from tests.concurrency.torture import Torture, inject_cluster_faults
from tests.database import drop_other_connections
from tests.processes import freeze, kill, thaw
from tests.waiting import eventually

pytestmark = pytest.mark.django_db(transaction=True)

LONG = Plan(
    orders=int(os.environ.get("TORTURE_ORDERS", "2000")),
    burst=25,
    rounds=5,
    seconds=float(os.environ.get("TORTURE_SECONDS", "480")),
    rate=0.025,
    refund_share=0.25,
    environment={
        "ORDER_REMINDER_SECONDS": "10",
        "ORDER_PAYMENT_DUE_SECONDS": "20",
        "PAYMENT_TIMEOUT_SECONDS": "2",
        "PAYMENT_WEBHOOK_PARKING_SECONDS": "15",
        "MESSAGING_HANDLER_LIMIT_SECONDS": "6",
        "MESSAGING_LEASE_SECONDS": "8",
    },
    simulator_options={"delay": 0.2, "slow_seconds": 2.5, "late_seconds": 30},
)
SHORT = Plan(
    orders=150,
    burst=15,
    rounds=1,
    seconds=0,
    faults=["kill_simulator", "kill_web_server", "kill_busy_worker"],
    rate=0.03,
    of_each=3,
    refund_share=0.9,
    environment={
        "ORDER_REMINDER_SECONDS": "2",
        "ORDER_PAYMENT_DUE_SECONDS": "5",
        "PAYMENT_TIMEOUT_SECONDS": "1",
        "PAYMENT_WEBHOOK_PARKING_SECONDS": "3",
        "MESSAGING_HANDLER_LIMIT_SECONDS": "3",
        "MESSAGING_LEASE_SECONDS": "4",
    },
    simulator_options={"delay": 0.1, "slow_seconds": 1.3, "late_seconds": 6},
)


@pytest.fixture
def torture(tmp_path, settings, summarize):
    """Run a shop as planned, and expect no violation."""

    def run(plan: Plan) -> None:
        summarize(f"torture with TORTURE_SEED={SEED}; the same again: TORTURE_SEED={SEED} TORTURE_ORDERS={plan.orders}")
        with running_shop(plan, tmp_path) as shop:
            settings.PAYMENTS = replace(settings.PAYMENTS, **shop.payment_settings())
            torture = Torture(shop, plan)
            torture.inject_faults()
            torture.finish()
            report = report_on(torture)
        report.show(summarize)
        assert {kind: number for kind, number in report.violations.items() if number} == {}
        assert torture.missing_faults() == [], "this run is void: these faults never happened"

    return run


class TestShop:
    def test_survives_its_payment_gateway(self, torture):
        torture(SHORT)

    @pytest.mark.torture
    def test_loses_and_duplicates_nothing(self, torture):
        torture(LONG)


class TestCluster:
    def test_survives_every_fault(self, tmp_path, summarize):
        with make_cluster(tmp_path) as cluster:
            injector, violations = inject_cluster_faults(cluster)

        for fault, recovery in recoveries(injector).items():
            summarize(f"{fault}: {recovery}")
        assert {kind: number for kind, number in violations.items() if number} == {}
        assert audit.run(now=timezone.now()).violated == []
        assert "database is locked" not in cluster.output


class TestKilledWorker:
    def test_loses_its_claims_to_another_long_before_its_lease_ends(self, tmp_path, summarize):
        with make_cluster(tmp_path, MESSAGING_LEASE_SECONDS="60") as cluster:
            (script,) = request({"sleep": 1})
            eventually(lambda: pids_of_scripts(cluster))

            kill(*pids_of_scripts(cluster))

            seconds = eventually(lambda: len(pids_of_scripts(cluster)) == 2)
            eventually(lambda: outcome(script).status == "delivered")
        summarize(f"the delivery of a killed worker was attempted again after {seconds:.1f} s")
        assert seconds < 10
        assert outcome(script) == Outcome("delivered", attempts=2)


@pytest.fixture(scope="class")
def running_cluster(django_db_setup, tmp_path_factory):
    with make_cluster(tmp_path_factory.mktemp("cluster"), MESSAGING_MAX_ATTEMPTS="3") as cluster:
        yield cluster


@pytest.fixture
def cluster(running_cluster):
    """A cluster for all tests of a class, restarted if one of them left it incomplete."""
    if not running_cluster.is_ready():
        running_cluster.restart()
    return running_cluster


class TestWorker:
    def test_is_ended_by_a_handler_that_hangs_or_crashes_until_the_message_is_dead(self, cluster, summarize):
        hanging, crashing, *good = request({"sleep": 60}, {"die": True}, *[{}] * 200)

        seconds = eventually(lambda: {outcome(delivery).status for delivery in good} == {"delivered"})
        eventually(lambda: outcome(hanging).status == outcome(crashing).status == "dead")

        summarize(f"200 neighbours of a hanging and a crashing message were served after {seconds:.1f} s")
        assert outcome(hanging) == outcome(crashing) == Outcome("dead", attempts=4, completed=0)
        assert {outcome(delivery).completed for delivery in good} == {1}

    def test_leaves_its_work_to_another_when_it_is_frozen_beyond_its_lease(self, cluster):
        began = len(pids_of_scripts(cluster))
        (slow,) = request({"sleep": 1})
        eventually(lambda: pids_of_scripts(cluster)[began:])
        pid = pids_of_scripts(cluster)[began]

        freeze(pid)
        if connection.vendor == "postgresql":
            eventually(lambda: outcome(slow).status == "delivered")
        else:
            time.sleep(LEASE_SECONDS + 1)
        thaw(pid)

        eventually(lambda: outcome(slow).status == "delivered")
        eventually(all_delivered)
        assert outcome(slow).completed == 1

    def test_reconnects_when_its_database_drops_its_connections(self, cluster):
        workers = cluster.pids("worker")
        drop_other_connections()

        (script,) = request({})

        eventually(lambda: outcome(script) == Outcome("delivered", attempts=1))
        assert cluster.pids("worker") == workers
