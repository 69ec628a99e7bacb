"""A demo shop whose contexts run as four services, as `manage.py up --split` starts them, and its customers."""

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit
from uuid import uuid4

import psycopg
import urllib3

from shop.settings.groups import CONTEXTS
from tests.programs import Up
from tests.waiting import eventually

START_SECONDS = 240
"""How long the programs of four services may take to start, beside other tests."""

SECONDS = 20
"""How long a request may take."""

AT_ONCE = 4
"""How many requests a customer may send at once."""

FINAL = {"confirmed", "cancelled"}


class SplitShop(Up):
    """
    Running during the `with` block.

    :param transport: "redis", "amqp" or "kafka".
    :param broker: its URL.
    :param database: the URL of the whole shop's database, after which those of the services are named.
    """

    def __init__(
        self, folder: Path, transport: str, broker: str, database: str, *options: str, **variables: str
    ) -> None:
        environment = {
            "DATABASE_URL": database,
            "PAYMENT_SIMULATOR_LEDGER": str(folder / "ledger.sqlite3"),
            "TRANSPORT_URL": broker,
            "TRANSPORT_PREFIX": f"test-{uuid4().hex[:12]}",
        }
        arguments = [f"--split={transport}", "--demo", "--port=0", *options]
        super().__init__(folder / f"{transport}.log", *arguments, environment=environment | variables)
        self.database = database

    def is_ready(self) -> bool:
        eventually(lambda: "is open." in self.output or self.status is not None, within=START_SECONDS)
        self.wait_until_open()
        return True

    @property
    def token(self) -> str:
        """The token of the demo's customer."""
        return self.wait_for(r"Authorization: Token (\w+)")[1]

    @property
    def customer(self) -> "Customer":
        return Customer(self.address, self.token)

    @property
    def operators_settings(self) -> dict[str, str]:
        """The variables of a process that reads the databases of all services."""
        simulator = self.wait_for(r"export PAYMENT_SIMULATOR_URL=(\S+)")[1]
        urls = {f"{context.upper()}_DATABASE_URL": self.database_of(context) for context in CONTEXTS}
        return urls | {"PAYMENT_SIMULATOR_URL": simulator}

    def settings_of(self, context: str) -> dict[str, str]:
        """The variables of a command that is run in a service."""
        about = {"CONTEXTS": context, "DATABASE_URL": self.database_of(context), "INTROSPECTION_SECRET": "-" * 32}
        return self.environment | about | {"ACCOUNTS_URL": self.address_of("orders")}

    def database_of(self, context: str) -> str:
        whole, dot, suffix = self.database.rpartition(".sqlite3")
        return f"{whole}-{context}{dot}{suffix}" if dot else f"{self.database}_{context}"

    def mailed_link(self, recipient: str, path: str) -> str:
        """Wait until the services have printed a mail to a recipient with a link below this path; return its token."""
        return self.wait_for(rf"To: {re.escape(recipient)}\n.*?{re.escape(path)}(link_[^/\s\"]+)")[1]

    def address_of(self, context: str) -> str:
        return self.wait_for(rf"  {context}: (http://[\d.:]+)/admin/")[1]


class Customer:
    """A program that orders with a token, at one address for all services."""

    def __init__(self, address: str, token: str = "") -> None:
        self.address = address
        self.http = urllib3.PoolManager(maxsize=AT_ONCE)
        self.headers = {"Accept": "application/json"} | ({"Authorization": f"Token {token}"} if token else {})

    def request(self, method: str, path: str, body: object = None, **headers: str) -> urllib3.BaseHTTPResponse:
        url = path if path.startswith("http") else f"{self.address}{path}"
        content = {} if body is None else {"body": json.dumps(body)}
        sent = self.headers | ({"Content-Type": "application/json"} if content else {}) | headers
        return self.http.request(method, url, headers=sent, timeout=SECONDS, retries=False, **content)

    def get(self, path: str, **query: str) -> Any:
        response = self.request("GET", f"{path}?{urlencode(query)}" if query else path)
        assert response.status == 200, response.data
        return response.json()

    def place(self, sku: str, *, quantity: int = 1, token: str = "visa", price: int, **headers: str) -> str:
        """Order a product, and return the URL of the order."""
        response = self.order(sku, quantity=quantity, token=token, price=price, **headers)
        assert response.status == 201, response.data
        return f"/api/v1/orders/{response.json()['id']}/"

    def order(self, sku: str, *, quantity: int = 1, token: str, price: int, **headers: str) -> urllib3.BaseHTTPResponse:
        body = {
            "lines": [{"sku": sku, "quantity": quantity}],
            "payment_method": f"tok_{token}",
            "expected_total": quantity * price,
        }
        return self.request("POST", "/api/v1/orders/", body, **{"Idempotency-Key": uuid4().hex} | headers)

    def cancel(self, order: str) -> int:
        return self.request("POST", f"{order}cancel/").status

    def history(self, order: str) -> list[str]:
        """Return the statuses of an order, oldest first, then the reason if it was cancelled."""
        found = self.get(order)
        statuses = [step["status"] for step in found["history"]]
        return statuses + [found["cancel_reason"]] * bool(found["cancel_reason"])

    def is_final(self, order: str) -> bool:
        return self.get(order)["status"] in FINAL

    def payment(self, order: str) -> Mapping[str, Any]:
        """Return the payment of an order; empty if there is none."""
        payments = self.get("/api/v1/payments/", order_id=order.split("/")[-2])["results"]
        assert len(payments) <= 1
        return payments[0] if payments else {}

    def mails(self, order: str) -> list[str]:
        """Return the kinds of the mails about an order that were sent, in alphabetical order."""
        page = self.get("/api/v1/notifications/", order_id=order.split("/")[-2])
        return sorted(sent["kind"] for sent in page["results"] if sent["channel"] == "email")


class Browser:
    """A person's browser, with cookies and forms."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.cookies: dict[str, str] = {}

    def get(self, path: str) -> urllib3.BaseHTTPResponse:
        return self._request("GET", path)

    def post(self, path: str, form: Mapping[str, str], *, csrf: str | None = None) -> urllib3.BaseHTTPResponse:
        """Send a form, with the CSRF token of the cookie unless another is given."""
        token = self.cookies["csrftoken"] if csrf is None else csrf
        body = urlencode({**form, "csrfmiddlewaretoken": token})
        return self._request("POST", path, body=body)

    def log_in(self, username: str, password: str) -> None:
        page = "/api/auth/login/"
        self.get(page)
        assert self.post(page, {"username": username, "password": password}).status == 302

    def _request(self, method: str, path: str, **content: str) -> urllib3.BaseHTTPResponse:
        headers = {
            "Accept": "text/html",
            "Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items()),
        }
        if content:
            headers |= {"Content-Type": "application/x-www-form-urlencoded"}
        url = f"{self.address}{path}"
        response = urllib3.request(
            method, url, headers=headers, timeout=SECONDS, retries=False, redirect=False, **content
        )
        for cookie in response.headers.getlist("Set-Cookie"):
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value
        return response


@contextmanager
def databases(folder: Path) -> Iterator[str]:
    """
    Yield the URL after which the databases of services are named: SQLite files in a folder, or databases on the server
    of DATABASE_URL, which are dropped afterwards.
    """
    url = urlsplit(os.environ.get("DATABASE_URL", ""))
    if not url.scheme.startswith("postgres"):
        yield f"sqlite:///{folder}/shop.sqlite3"
        return
    name = f"test_split_{uuid4().hex[:12]}"
    with psycopg.connect(url.geturl(), autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}")
        try:
            yield url._replace(path=f"/{name}").geturl()
        finally:
            for database in (name, *(f"{name}_{context}" for context in CONTEXTS)):
                server.execute(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")
