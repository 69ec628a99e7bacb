"""
Real workers send mails, and are killed at random moments. The server answers 421 and 4yz and drops connections before
and after it accepts a mail; its log is the truth. `make torture` sends TORTURE_MAILS (5000), the suite a few.

The outcome of a mail is unknown to the shop if its reply was lost, or if its worker was killed with the mail in hand.
Those that had been accepted are repeated, and no others.
"""

import os
import random
import time
from pathlib import Path

import pytest
from django.utils import timezone

from orders import placing
from orders.models import Order
from shop.operations import audit
from tests.concurrency import consistency, mails
from tests.concurrency.environment import LIMIT_SECONDS, MAIL_FAULTS, make_cluster
from tests.concurrency.report import mails_sent
from tests.concurrency.running_shop import SEED
from tests.factories import CustomerFactory, make_draft, make_stock
from tests.processes import kill
from tests.programs import Cluster, MailServer
from tests.smtp_faults import ALWAYS, DRIP, Fault, Stage
from tests.smtp_log import MailLog
from tests.waiting import eventually

pytestmark = pytest.mark.django_db(transaction=True)

MAILS = int(os.environ.get("TORTURE_MAILS", "5000"))
MAILS_PER_ORDER = 2
CONNECTIONS = 4
PATIENCE_SECONDS = 600

ENVIRONMENT = {
    "EMAIL_CONNECTIONS": str(CONNECTIONS),
    "EMAIL_DEADLINE": "3",
    "MESSAGING_HANDLER_LIMIT_SECONDS": "8",
    "MESSAGING_LEASE_SECONDS": "10",
}


def place_orders(number: int) -> dict[str, tuple[str, str]]:
    """Place orders of one customer each, 100 a transaction, and return the end of each by its id."""
    make_stock(number)
    customer = CustomerFactory().pk
    drafts = [make_draft(customer_id=customer, email=f"customer-{each}@example.com") for each in range(number)]
    sets = [drafts[start : start + 100] for start in range(0, number, 100)]
    placed = [result for set_ in sets for result in placing.place_orders(set_, now=timezone.now())]
    return {str(result.order.pk): ("confirmed", "") for result in placed}


def kill_workers(cluster: Cluster, server: MailServer, *, mails: int, kills: int) -> None:
    """Kill a worker so many times, each when the server has accepted a random number of these mails."""
    rng = random.Random(SEED)
    for accepted in sorted(rng.sample(range(mails), kills)):
        eventually(
            lambda accepted=accepted: len(server.mails.accepted()) > accepted, within=PATIENCE_SECONDS, every=0.1
        )
        eventually(lambda: cluster.pids("worker"))
        kill(rng.choice(cluster.pids("worker")))


def send_under_faults(folder: Path, *, number: int, kills: int) -> tuple[MailLog, dict[str, int]]:
    """Return the log of the server, and the number of violations by kind."""
    expected = place_orders(number // MAILS_PER_ORDER)
    server = MailServer(folder / "server.log", folder / "mails.log", faults=MAIL_FAULTS, seed=SEED)
    with server, make_cluster(folder, **ENVIRONMENT, **server.settings) as cluster:
        kill_workers(cluster, server, mails=number, kills=kills)
        eventually(consistency.all_ended, within=PATIENCE_SECONDS)
    owed = {f"customer-{each}@example.com": MAILS_PER_ORDER for each in range(number // MAILS_PER_ORDER)}
    in_hand, most = mails.repeated_after_a_reply(server.mails), CONNECTIONS * kills
    return server.mails, {
        **consistency.violations(expected),
        **mails.owed_violations(server.mails, owed),
        **mails.recorded_violations(server.mails),
        **mails.repetition_violations(server.mails),
        "more mails repeated than killed workers had connections": max(0, in_hand - most),
        "violations of the audit": len(audit.run(now=timezone.now()).violated),
    }


class TestMails:
    @pytest.mark.parametrize(
        ("number", "kills"),
        [pytest.param(100, 2, id="few"), pytest.param(MAILS, MAILS // 200, id="many", marks=pytest.mark.torture)],
    )
    def test_are_accepted_once_except_those_whose_outcome_was_unknown(self, tmp_path, summarize, number, kills):
        began = time.monotonic()

        log, violations = send_under_faults(tmp_path, number=number, kills=kills)

        summarize(f"{number} mails in {time.monotonic() - began:.0f} s with TORTURE_SEED={SEED}")
        summarize(f"{kills} workers of {CONNECTIONS} connections each were killed")
        for name, value in mails_sent(log).items():
            summarize(f"{name}: {value}")
        assert {kind: number for kind, number in violations.items() if number} == {}


@pytest.mark.torture
class TestServerThatDrips:
    """The whole of each reply takes far longer than a worker may."""

    def test_ends_no_worker_delays_no_order_and_gets_each_mail_once_in_the_end(self, tmp_path, summarize):
        place_orders(24)
        drips = Fault(Stage.MAIL, DRIP, times=ALWAYS, pause=0.8)
        server = MailServer(tmp_path / "server.log", tmp_path / "mails.log", faults=[drips])
        with server, make_cluster(tmp_path, **server.settings) as cluster:
            workers = cluster.pids("worker")
            seconds = eventually(lambda: Order.objects.filter(status=Order.Status.CONFIRMED).count() == 24)
            time.sleep(5 * LIMIT_SECONDS)
            assert cluster.pids("worker") == workers
            stopped = cluster.stop()
        summarize(f"24 orders were confirmed after {seconds:.1f} s, the workers stopped within {stopped:.1f} s")
        assert stopped < LIMIT_SECONDS + 2

        server = MailServer(tmp_path / "server.log", tmp_path / "mails.log")
        with server, make_cluster(tmp_path, **server.settings):
            eventually(consistency.all_ended)
        assert sorted(server.mails.accepted_ids().values()) == [1] * 48
