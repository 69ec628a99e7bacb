"""
A context leaves a running shop, comes back, and leaves again, while customers order: docs/how-to/split.md with real
processes. There are two web servers, so that old and new ones run side by side while they are restarted.
"""

import json
import os
import random
import re
import sqlite3
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import psycopg
import pytest
import urllib3

from messaging.transports.protocol import Broker
from shop.management.commands.demo import PRODUCTS, RARITY
from shop.settings.groups import CONTEXTS
from tests.gateways import INSTANT
from tests.messaging.transports import brokers
from tests.processes import Process, manage, run
from tests.programs import Cluster, MailServer, WebServer
from tests.smtp_faults import ALWAYS, Fault, Stage
from tests.split.shops import Customer, databases
from tests.waiting import eventually

pytestmark = pytest.mark.torture

TRANSPORTS = {"redis": brokers.redis_streams, "amqp": brokers.amqp}
REMINDER_SECONDS, DUE_SECONDS = 10, 30
PATIENCE_SECONDS = 180
SETTLE_SECONDS = 600
"""A mail that was deferred for as long as a move takes is tried again after as long, and may be deferred again."""
SECRET = "the-secret-of-the-services-of-this-test"
GREYLISTING = Fault(Stage.RCPT, "451 4.7.1 Try again later", times=ALWAYS, share=0.1)
BUYERS, PACE_SECONDS = 2, 0.3
BY_TOKEN = {
    "visa": ["order_confirmed", "order_received"],
    "declined": ["order_received", "payment_failed"],
    "pending": ["order_expired", "order_received"],
}
"""The kinds of mails about an order, beside reminders, by the token that it is paid with."""

REMINDER = "payment_due_soon"

NOTIFIED = (
    *("orders.order_placed", "orders.order_confirmed", "orders.order_cancelled", "orders.payment_due_soon"),
    *("payments.payment_refunded", "payments.payment_anomaly_found", "messaging.delivery_died"),
)
"""The events of which each has one mail, sent or suppressed."""

FILL = """
from datetime import timedelta
from django.utils import timezone
from shop.accounts.services import issue_token
from shop.management.commands.demo import CUSTOMER, add_demo_products, ensure_user, open_demo_stock

open_demo_stock()
add_demo_products()
print(issue_token(user=ensure_user(CUSTOMER), name="test", expires_in=timedelta(days=1), now=timezone.now())[1])
"""
"""Code that fills an empty shop, and prints a token of its customer."""

ENVIRONMENT = {
    "PAYMENT_GATEWAY": INSTANT,
    "SMS_BACKEND": "",
    "RELAY_IN_WEB": "off",
    "PAYMENT_SIMULATOR_IN_WEB": "off",
    "LOG_LEVEL": "DEBUG",  # it names the role of each process
    "MESSAGING_LEASE_SECONDS": "20",
    "MESSAGING_HANDLER_LIMIT_SECONDS": "16",
    "EMAIL_DEADLINE": "2",
    "PAYMENT_TIMEOUT_SECONDS": "1",
    "SMS_TIMEOUT": "1",
    "ORDER_REMINDER_SECONDS": str(REMINDER_SECONDS),
    "ORDER_PAYMENT_DUE_SECONDS": str(DUE_SECONDS),
    "THROTTLE_ACCOUNT_PER_MINUTE": "0",
    "THROTTLE_ADDRESS_PER_MINUTE": "0",
    "NOTIFICATIONS_PER_HOUR": "0",
    "NOTIFICATIONS_PER_RECIPIENT_PER_HOUR": "0",
}


def select(url: str, statement: str) -> list[tuple[Any, ...]]:
    """Return the rows that a statement selects from the database at a URL."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"), timeout=20)) as database:
            return database.execute(statement).fetchall()
    with psycopg.connect(url) as database:
        return database.execute(statement).fetchall()


def ids(url: str, statement: str) -> Counter[str]:
    return Counter(str(UUID(str(id_))) for (id_,) in select(url, statement))


def _moment(value: datetime | str) -> datetime:
    """Return a moment as PostgreSQL returns it, or as SQLite stores it."""
    return datetime.fromisoformat(str(value))


class Buyers:
    """Customers who order all the time during the `with` block, from whichever web server answers."""

    def __init__(self, addresses: Sequence[str], token: str) -> None:
        self.customers = [Customer(address, token) for address in addresses]
        self.placed: dict[str, str] = {}
        """The token of payment of each order, by its id."""
        self.errors: list[BaseException] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._order_all_the_time, args=(seed,)) for seed in range(BUYERS)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    @property
    def expected(self) -> dict[str, list[str]]:
        """The kinds of mails about each order, by its id."""
        return {order: BY_TOKEN[token] for order, token in self.placed.items()}

    @property
    def unpaid(self) -> set[str]:
        return {order for order, token in self.placed.items() if token == "pending"}

    def wait_for_orders(self, number: int = 10) -> None:
        """Wait until so many more orders were placed."""
        placed = len(self.placed)
        eventually(lambda: self.errors or len(self.placed) >= placed + number, within=PATIENCE_SECONDS)

    def _order_all_the_time(self, seed: int) -> None:
        rng = random.Random(seed)
        try:
            while not self._stop.wait(PACE_SECONDS):
                self._order(rng)
        except BaseException as error:
            self.errors.append(error)
            raise

    def _order(self, rng: random.Random) -> None:
        sku, token = rng.choice(sorted({*PRODUCTS} - {RARITY})), rng.choice(sorted(BY_TOKEN))
        key = {"Idempotency-Key": uuid4().hex}
        while not (order := self._try(rng.choice(self.customers), sku, token, **key)):
            self._stop.wait(PACE_SECONDS)
        self.placed[order] = token

    def _try(self, customer: Customer, sku: str, token: str, **headers: str) -> str:
        """Return the id of the order; none if the server is being restarted, or SQLite is locked for too long."""
        try:
            response = customer.order(sku, token=token, price=PRODUCTS[sku][1], **headers)
        except urllib3.exceptions.HTTPError:
            return ""
        if response.status == 503:
            return ""
        assert response.status == 201, response.data
        return response.json()["id"]


class MovingShop:
    """A shop whose notifications run in it, or as a service."""

    def __init__(self, folder: Path, database: str, broker: Broker, mail_server: MailServer) -> None:
        self.old, self.new, self.mail_server = database, f"{database}_notifications", mail_server
        self.whole = ENVIRONMENT | mail_server.settings | {"DATABASE_URL": self.old}
        self.with_broker = self.whole | {
            "TRANSPORT_URL": broker.url,
            "TRANSPORT_PREFIX": broker.prefix,
            "INTROSPECTION_SECRET": SECRET,
        }
        self.rest = self.with_broker | {"CONTEXTS": "orders,inventory,payments"}
        self.webs = [WebServer(folder / f"web{number}.txt", environment=self.whole) for number in (1, 2)]
        self.cluster = Cluster(folder / "cluster.txt", workers=2, environment=self.whole)
        own = {"DATABASE_URL": self.new, "CONTEXTS": "notifications", "ACCOUNTS_URL": self.webs[0].address}
        self.service = self.with_broker | own
        self.service_cluster = Cluster(folder / "service.txt", workers=2, environment=self.service)
        self.receiver = Process(folder / "receiver.txt", manage("receive"), environment=self.service)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run the shop during the block, and end all of its processes then."""
        with ExitStack() as self.processes:
            for process in (*self.webs, self.cluster):
                self.processes.enter_context(process)
            yield

    def manage(self, environment: Mapping[str, str], *arguments: str) -> str:
        """Run a command that has to succeed, and return its output."""
        finished = run(manage(*arguments), within=PATIENCE_SECONDS, **environment)
        assert finished.status == 0, finished.output + finished.errors
        return finished.output

    def restart(self, environment: Mapping[str, str], buyers: Buyers) -> None:
        """Restart one process after another with this environment, while customers order."""
        for process in (self.webs[0], self.cluster, self.webs[1]):
            process.stop()
            process.environment = {
                **process.environment,
                "CONTEXTS": ",".join(CONTEXTS),
                "TRANSPORT_URL": "",
                **environment,
            }
            process.start()
            buyers.wait_for_orders()

    def move_out(self, buyers: Buyers) -> None:
        """Let notifications leave. Mails are not accepted meanwhile, so many of them are moved."""
        self.manage(self.service, "migrate", "--verbosity=0")
        self.manage(self.service, "receive", "--declare")
        self.mail_server.stop()
        self.restart(self.rest, buyers)
        self.manage(self.service, "move_context", "notifications", "--from", self.old)
        assert self.pending(self.old, "notifications.%") == 0
        assert self.pending(self.new, "notifications.send_email") > 0
        self.mail_server.start()
        self.processes.enter_context(self.service_cluster)
        buyers.wait_for_orders()

    def move_back(self, buyers: Buyers) -> None:
        """Let notifications return, and wait for the reminders that are to be sent to their service."""
        self.service_cluster.stop()
        with self.receiver:
            self.restart(self.with_broker, buyers)
            switched = datetime.now(UTC)
            eventually(lambda: self.unsent_before(switched) == 0, within=PATIENCE_SECONDS)
            eventually(lambda: self.lag() == 0, within=PATIENCE_SECONDS)
            self.receiver.stop()
        self.manage(self.with_broker, "move_context", "notifications", "--from", self.new)
        assert self.pending(self.new, "notifications.%") == 0

    def violations(self) -> list[str]:
        """Return the rules that the audit finds violated."""
        databases = {f"{context.upper()}_DATABASE_URL": self.old for context in CONTEXTS}
        databases["NOTIFICATIONS_DATABASE_URL"] = self.new
        finished = run(manage("audit"), within=PATIENCE_SECONDS, **ENVIRONMENT | databases)
        assert "The verdict: " in finished.output, finished.errors
        return re.findall(r"^violation +(\w+)", finished.output, re.MULTILINE)

    def pending(self, url: str, subscribers: str = "%") -> int:
        sql = f"SELECT count(*) FROM messaging_delivery WHERE status = 'pending' AND subscriber LIKE '{subscribers}'"
        return select(url, sql)[0][0]

    def unsent_before(self, moment: datetime) -> int:
        """Return how many events were published before and wait for being sent."""
        sql = f"""SELECT count(*) FROM messaging_delivery AS d JOIN messaging_outboxmessage AS m ON m.id = message_id
            WHERE status = 'pending' AND subscriber = 'messaging.transport' AND published_at < '{moment}'"""
        return select(self.old, sql)[0][0]

    def lag(self) -> int:
        finished = run(manage("outbox_status", "--json"), **self.service)
        return json.loads(finished.output)["broker"]["lag"]

    def is_done(self) -> bool:
        return self.pending(self.old) == self.pending(self.new) == 0 and self.events() == self.notified()

    def events(self) -> Counter[str]:
        """Return how often each event about which somebody is told was published, by its id."""
        return ids(self.old, f"SELECT id FROM messaging_outboxmessage WHERE type IN {NOTIFIED}")

    def notified(self) -> Counter[str]:
        """Return how many notifications each event has caused, by its id."""
        return ids(self.new, "SELECT message_id FROM notifications_notification")

    def waited_for_payment(self) -> set[str]:
        """Return the orders that were open for so long that their customers were to be reminded, by their ids."""
        sql = """SELECT entry.order_id, placed_at, at FROM orders_historyentry AS entry
            JOIN orders_order ON orders_order.id = entry.order_id WHERE entry.status IN ('confirmed', 'cancelled')"""
        spans = {id_: _moment(at) - _moment(placed_at) for id_, placed_at, at in select(self.old, sql)}
        return {str(UUID(str(id_))) for id_, span in spans.items() if span.total_seconds() >= REMINDER_SECONDS}

    def mails(self) -> Mapping[str, list[str]]:
        """Return the kinds of the mails that were accepted about each order, by its id."""
        sql = "SELECT id, order_id, kind FROM notifications_notification WHERE order_id IS NOT NULL"
        about = {str(UUID(str(id_))): (str(UUID(str(order))), kind) for id_, order, kind in select(self.new, sql)}
        kinds = defaultdict(list)
        for message_id in self.mail_server.mails.accepted_ids().elements():
            order, kind = about[message_id.strip("<>").partition("@")[0]]
            kinds[order].append(kind)
        return {order: sorted(of_order) for order, of_order in kinds.items()}


@pytest.fixture(params=os.environ.get("TRANSPORTS", "redis,amqp").split(","))
def shop(request, tmp_path: Path) -> Iterator[MovingShop]:
    mail_server = MailServer(tmp_path / "mail_server.txt", tmp_path / "mails.txt", faults=[GREYLISTING])
    with databases(tmp_path) as database, TRANSPORTS[request.param]() as broker, mail_server:
        shop = MovingShop(tmp_path, database, broker, mail_server)
        if database.startswith("postgres"):
            with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as server:
                server.execute(f"CREATE DATABASE {urlsplit(shop.new).path.strip('/')}")
        shop.manage(shop.whole, "migrate", "--verbosity=0")
        yield shop


def test_a_context_leaves_a_running_shop_comes_back_and_leaves_again(shop):
    token = shop.manage(shop.whole, "shell", "--verbosity=0", "-c", FILL).split()[-1]
    with shop.running(), Buyers([web.address for web in shop.webs], token) as buyers:
        buyers.wait_for_orders()
        shop.move_out(buyers)
        shop.move_back(buyers)
        shop.move_out(buyers)  # now the broker has events that were handled before
        buyers.stop()
        eventually(shop.is_done, within=SETTLE_SECONDS, every=1)

    assert buyers.errors == []
    assert set(shop.events().values()) == {1}
    assert set(shop.mail_server.mails.accepted_ids().values()) == {1}
    mails = shop.mails()
    reminded = {order for order, kinds in mails.items() if REMINDER in kinds}
    assert {order: [kind for kind in mails[order] if kind != REMINDER] for order in buyers.placed} == buyers.expected
    assert reminded <= buyers.unpaid | shop.waited_for_payment()  # one is suppressed if its time passed during a move
    assert reminded
    assert select(shop.old, "SELECT 1 FROM messaging_delivery WHERE subscriber LIKE 'notifications.%'") == []
    assert select(shop.old, "SELECT 1 FROM notifications_notification") == []
    assert "Nothing needs attention." in shop.manage(shop.rest, "outbox_status")
    # Old processes did not send to the broker what they published after the first new one had started.
    assert set(shop.violations()) <= {"M2"}
