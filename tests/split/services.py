"""
Four services of real processes behind a reverse proxy, beside a broker and a payment simulator. The processes are those
that `manage.py up --split` starts, and one more receiver of each service; but each can be killed and started again.
"""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from shop.management import split
from shop.server import processes
from shop.settings.groups import CONTEXTS, SIMULATED_GATEWAY
from tests.concurrency.customers import IN_STOCK, SOLD_OUT
from tests.concurrency.environment import ENVIRONMENT
from tests.concurrency.ledger import SimulatorLedger
from tests.concurrency.running_shop import SECRET, SEED, Plan
from tests.messaging.transports.servers import BrokerServer
from tests.processes import Finished, Process, manage, run
from tests.programs import LOCALHOST, Cluster, PaymentSimulator, Server, WebServer
from tests.waiting import eventually

START_SECONDS = 240
"""How long the programs of four services may take to start, beside other tests."""

ALIVE_SECONDS = 180
"""How long a program may take to start again."""

UNLIMITED = {
    "ORDER_MAX_OPEN_ORDERS": "100000",
    "THROTTLE_ACCOUNT_PER_MINUTE": "0",
    "THROTTLE_ADDRESS_PER_MINUTE": "0",
    "THROTTLE_FAILURES_PER_MINUTE": "0",
}

PRICE = 4_500
OPEN_STOCK = f"""
from django.utils import timezone
from inventory.services import open_stock_items
open_stock_items({list(IN_STOCK)}, opening=1_000_000, now=timezone.now())
open_stock_items(["{SOLD_OUT}"], opening=0, now=timezone.now())
"""
OPEN_SHOP = f"""
from datetime import timedelta
from django.contrib.auth.models import User
from django.utils import timezone
from orders.models import Product
from orders.services import add_products
from shop.accounts.services import issue_token
add_products([Product(sku=sku, name=sku, price={PRICE}) for sku in {[*IN_STOCK, SOLD_OUT]}])
for name in ("ada", "bob"):
    user = User.objects.create_user(name, f"{{name}}@example.com")
    print(issue_token(user=user, name=name, expires_in=timedelta(days=1), now=timezone.now())[1])
"""


class Proxy(Server):
    """
    The reverse proxy of `manage.py up --split`, always at the same port. While it is down no process listens there.

    :param services: their addresses by context.
    """

    health = "/healthz"

    def __init__(self, folder: Path, services: Mapping[str, str]) -> None:
        super().__init__(folder / "proxy.log")
        self.folder, self.services = folder, services

    def launch(self) -> None:
        with processes.listen(LOCALHOST, self.port) as listener:
            command, self.environment = split.reverse_proxy(listener, self.services, self.folder)
            self.spawn(command, pass_fds=[listener.fileno()])


@dataclass(frozen=True)
class Service:
    """One context: a web server, workers and a receiver."""

    context: str
    web: WebServer
    cluster: Cluster
    receiver: Process

    @property
    def programs(self) -> Sequence[Process]:
        return self.web, self.cluster, self.receiver

    def is_ready(self) -> bool:
        return self.receiver.status is None and self.web.is_ready() and self.cluster.is_ready()


@dataclass(frozen=True)
class Services:
    """
    :param databases: URLs by context.
    :param tokens: of customers.
    """

    by_context: Mapping[str, Service]
    proxy: Proxy
    simulator: PaymentSimulator
    broker: BrokerServer
    ledger: SimulatorLedger
    databases: Mapping[str, str]
    tokens: Sequence[str]
    environment: Mapping[str, str]
    """What the programs of all services have in common."""

    def is_complete(self) -> bool:
        servers = (self.broker, self.simulator, self.proxy)
        return all(each.is_ready() for each in (*servers, *self.by_context.values()))

    def payment_settings(self) -> dict[str, object]:
        """Return the settings with which this process uses the same gateway."""
        address = self.simulator.address
        return {"gateway": SIMULATED_GATEWAY, "simulator_url": address, "webhook_secrets": (SECRET,)}

    def audit(self) -> Finished:
        """Audit the databases of all services as an operator."""
        urls = {f"{context.upper()}_DATABASE_URL": url for context, url in self.databases.items()}
        return run(manage("audit", "--json"), **self.environment | urls)

    def logs(self) -> str:
        return "".join(program.output for service in self.by_context.values() for program in service.programs)


@contextmanager
def running_services(
    plan: Plan, folder: Path, broker: BrokerServer, databases: Mapping[str, str]
) -> Iterator[Services]:
    """Run the processes of all services during the block, on these empty databases."""
    services = {context: _service(folder, context) for context in CONTEXTS}
    proxy = Proxy(folder, {context: service.web.address for context, service in services.items()})
    ledger, webhooks = folder / "ledger.sqlite3", f"{proxy.address}/api/v1/webhooks/payments/"
    options = {"ledger": ledger, "callback_url": webhooks, "seed": SEED, **plan.simulator_options}
    simulator = PaymentSimulator(folder / "simulator.log", **options)
    common = ENVIRONMENT | UNLIMITED | _addresses(proxy, simulator, services["orders"]) | plan.environment
    simulator.environment = common
    prefix, secret = f"test-{uuid4().hex[:12]}", secrets.token_urlsafe(32)
    for context, service in services.items():
        own = split.service_environment(context, databases[context], broker.url, secret)
        for program in service.programs:
            program.environment |= common | own | {"TRANSPORT_PREFIX": prefix}
    tokens = _prepare(services)
    with ExitStack() as stack:
        stack.enter_context(broker)
        split.subscribe_all(broker.url, prefix)
        broker.write_names_of_queues()
        programs = [simulator, proxy, *(program for service in services.values() for program in service.programs)]
        for program in programs:
            stack.callback(program.kill)
            program.launch()
        shop = Services(services, proxy, simulator, broker, SimulatorLedger(ledger), databases, tokens, common)
        eventually(shop.is_complete, within=START_SECONDS)
        yield shop


def _service(folder: Path, context: str) -> Service:
    return Service(
        context,
        WebServer(folder / f"{context}-web.log"),
        Cluster(folder / f"{context}-workers.log", workers=1, environment={}),
        Process(folder / f"{context}-receiver.log", manage("receive")),
    )


def _addresses(proxy: Proxy, simulator: PaymentSimulator, orders: Service) -> dict[str, str]:
    return {
        "SHOP_URL": proxy.address,
        "ACCOUNTS_URL": orders.web.address,
        "PAYMENT_GATEWAY": SIMULATED_GATEWAY,
        "PAYMENT_SIMULATOR_URL": simulator.address,
        "PAYMENT_SIMULATOR_IN_WEB": "off",
        "PAYMENT_WEBHOOK_SECRETS": SECRET,
    }


def _prepare(services: Mapping[str, Service]) -> Sequence[str]:
    """Create the tables, products with stock, and two customers. Return their tokens."""
    migrations = [
        Process(service.web.log, manage("migrate"), environment=service.web.environment)
        for service in services.values()
    ]
    for migration in migrations:
        migration.launch()
    assert {migration.wait(START_SECONDS) for migration in migrations} == {0}
    for context, script in (("inventory", OPEN_STOCK), ("orders", OPEN_SHOP)):
        done = run(manage("shell", "--verbosity=0", "--command", script), **services[context].web.environment)
        assert done.status == 0, done.errors
    return done.output.split()
