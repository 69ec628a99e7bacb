"""What the comparison counts and writes is true. Celery itself runs in `make bench BENCH=--compare` only."""

import json
import random
import sqlite3
from contextlib import closing

import pytest
from django.db.models import F
from django.utils import timezone

from inventory.models import StockItem
from messaging import subscribers
from messaging.models import Delivery
from orders.models import Order
from payments.models import PaymentIntent
from payments.simulator.ledger import SCHEMA
from tests.bench.compare import page
from tests.bench.compare.kills import audit, completed, kill_at_random, supervised
from tests.bench.compare.names import WORKERS
from tests.bench.compare.one_by_one import deliver_next
from tests.bench.compare.pipelines import ONE_BY_ONE_COMMAND, Workers
from tests.bench.compare.rounds import medians, ratios
from tests.bench.environment import environment
from tests.factories import make_stock, place_order
from tests.processes import database_url
from tests.smtp_log import MailLog
from tests.waiting import eventually

NOTHING = {
    "orders stuck: something is queued": 0,
    "orders never: stock reserved": 0,
    "orders never: paid": 0,
    "orders never: confirmed": 0,
    "orders never: stock shipped": 0,
    "orders never: mails sent": 0,
    "orders charged twice": 0,
    "products whose stock is wrong": 0,
    "mails sent twice": 0,
    "repeated charge requests, refused by their key": 0,
}


def deliver_all() -> int:
    """Deliver what is due one by one, and return how many deliveries that were."""
    number = 0
    while deliver_next():
        number += 1
    return number


@pytest.fixture
def ledger(tmp_path):
    """The ledger of a gateway that charged nothing."""
    path = tmp_path / "ledger.sqlite3"
    with closing(sqlite3.connect(path)) as entries:
        entries.executescript(SCHEMA)
    return path


@pytest.fixture
def orders():
    """Two orders that were served, and their queue, which holds only what is due in days."""
    make_stock()
    placed = [place_order(), place_order()]
    deliver_all()
    return placed


def enter(ledger, order: Order, *, charges: int) -> None:
    """Enter so many charges of an order, of which each moved its money."""
    rows = [(kind, f"{order.pk}-{at}") for at in range(charges) for kind in ("charged", "captured")]
    with closing(sqlite3.connect(ledger)) as entries, entries:
        entries.executemany(
            "INSERT INTO entries (at, kind, charge, key, reference, order_id, currency, reason, detail)"
            " VALUES ('', ?, ?, '', '', ?, '', '', '{}')",
            [(kind, charge, str(order.pk) if kind == "charged" else "") for kind, charge in rows],
        )


@pytest.mark.django_db(transaction=True)
class TestOneByOne:
    def test_serves_an_order_as_the_shop_does(self):
        make_stock()
        order = place_order()

        delivered = deliver_all()

        assert Order.objects.get(pk=order.pk).status == "confirmed"
        assert Delivery.objects.filter(status="delivered").count() == delivered > 5
        assert deliver_next() is False, "reminder and expiry are due in days"

    def test_tries_a_failed_message_again_later(self, monkeypatch):
        make_stock()
        order = place_order()
        chosen = {"subscriber": "inventory.reserve_stock", "key": str(order.pk)}

        with monkeypatch.context() as patched:
            patched.setattr(subscribers, "_registry", subscribers.all_subscribers())
            subscribers.wrap("inventory.reserve_stock", lambda _: lambda _: 1 / 0)
            deliver_all()

        failed = Delivery.objects.get(**chosen)
        assert (failed.status, failed.attempts) == ("pending", 1)
        assert failed.due_at > timezone.now()
        Delivery.objects.filter(**chosen).update(due_at=timezone.now())
        deliver_all()
        assert Order.objects.get(pk=order.pk).status == "confirmed"


@pytest.mark.django_db(transaction=True)
def test_workers_that_are_killed_are_replaced_and_lose_no_order_of_an_outbox(tmp_path):
    make_stock()
    orders = {place_order().pk for _ in range(8)}
    variables = environment(tmp_path, database_url())

    with Workers(tmp_path / "workers.log", ONE_BY_ONE_COMMAND, environment=variables) as workers:
        kill_at_random(workers, random.Random(14), one=3, all_=1)

        eventually(lambda: len(supervised(workers).pids()) == WORKERS)
        eventually(lambda: completed() == orders)


@pytest.mark.django_db(transaction=True)
class TestAudit:
    def test_of_orders_that_were_served_once(self, orders, ledger, tmp_path):
        for order in orders:
            enter(ledger, order, charges=1)

        counted = audit(ledger, MailLog(tmp_path / "mails"), charges=2, is_idle=True)

        whole = {"orders accepted": 2, "orders completed": 2, "orders lost: nothing is queued": 0}
        assert counted == whole | NOTHING

    def test_of_an_order_that_ends_at_its_payment(self, orders, ledger, tmp_path):
        PaymentIntent.objects.filter(order_id=orders[0].pk).update(status="processing")
        Order.objects.filter(pk=orders[0].pk).update(status="awaiting_payment")

        lost, stuck = (
            audit(ledger, MailLog(tmp_path / "mails"), charges=1, is_idle=is_idle) for is_idle in (True, False)
        )

        unfinished = NOTHING | {"orders never: paid": 1, "orders never: confirmed": 1}
        counted = {"orders accepted": 2, "orders completed": 1, **unfinished}
        assert lost == counted | {"orders lost: nothing is queued": 1}
        assert stuck == counted | {"orders lost: nothing is queued": 0, "orders stuck: something is queued": 1}

    def test_of_effects_that_happened_twice(self, orders, ledger, tmp_path):
        enter(ledger, orders[0], charges=2)
        enter(ledger, orders[1], charges=1)
        StockItem.objects.update(on_hand=F("on_hand") - 1)
        mails = MailLog(tmp_path / "mails")
        for id_ in ("<1@shop>", "<2@shop>", "<1@shop>"):
            mails.write("accepted", message_id=id_, recipients=[], at=0, connection=1, is_replied=True, digest="")

        counted = audit(ledger, mails, charges=5, is_idle=True)

        assert counted["orders charged twice"] == 1
        assert counted["products whose stock is wrong"] == 1
        assert counted["mails sent twice"] == 1
        assert counted["repeated charge requests, refused by their key"] == 3


class TestReport:
    RATES = {"This shop": [50, 40, 60], "Celery": [10, 20, 15]}

    @pytest.fixture
    def report(self):
        return {
            "throughput": {name: [{"orders/s complete": rate} for rate in rates] for name, rates in self.RATES.items()}
        }

    def test_has_the_median_of_the_rounds(self, report):
        assert medians(report) == {"This shop": {"orders/s complete": 50}, "Celery": {"orders/s complete": 15}}

    def test_compares_within_a_round(self, report):
        assert ratios(report, "Celery") == [0.2, 0.5, 0.25]


def test_the_page_has_the_figures_of_the_command_and_no_others(tmp_path):
    folder = page.PAGE.with_suffix("")
    report = json.loads((folder / "figures.json").read_text())

    page.write_graphs(report, tmp_path)

    assert page.with_figures(page.PAGE.read_text(), report) == page.PAGE.read_text()
    drawn = {graph.name: graph.read_text() for graph in tmp_path.iterdir()}
    assert drawn == {graph.name: graph.read_text() for graph in folder.glob("*.svg")}
