"""
A service in a process and a database of its own, whose accounts are in another one: here the process of the tests.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlencode

import psycopg
import pytest
import urllib3
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client

from shop.accounts.models import Account, Token
from tests.factories import PASSWORD, CustomerFactory
from tests.processes import database_url, manage, run
from tests.programs import LOCALHOST, WebServer, free_port
from tests.signing import Signer, signer_of
from tests.waiting import eventually

pytestmark = pytest.mark.django_db(transaction=True)

SECRET = "a-secret-of-all-services-of-a-shop"
CACHE_SECONDS, FAILURES = 1, 5
PREFERENCES, PAYMENTS, STOCK = (
    f"/api/v1/{resource}/" for resource in ("notification-preferences", "payments", "stock")
)
REMINDER_OFF = {"preferences": [{"kind": "payment_due_soon", "channel": "email", "is_on": False}]}
GRANT = """
from django.contrib.auth.models import Permission, User
for name in ("sue", "bob"):
    user = User.objects.create_user(name, password="an admin of this service", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_stockitem"))
"""


@dataclass
class Browser:
    """
    A client of a service with cookies, from an address of its own.
    """

    address: str
    number: int
    cookies: dict[str, str] = field(default_factory=dict)

    def send(self, method: str, path: str, *, body: bytes = b"", **headers: str) -> urllib3.BaseHTTPResponse:
        cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        sent = {"X-Forwarded-For": f"192.0.2.{self.number}", "Accept": "application/json"}
        sent |= {"Cookie": cookies} if cookies else {}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        answer = urllib3.request(method, f"{self.address}{path}", body=body, headers=sent, retries=False, timeout=30)
        for cookie in answer.headers.getlist("Set-Cookie"):
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value
        return answer

    def get(self, path: str, **headers: str) -> urllib3.BaseHTTPResponse:
        return self.send("GET", path, **headers)

    def page(self, path: str) -> str:
        return self.get(path, Accept="text/html").data.decode()

    def post_form(self, path: str, **fields: str) -> urllib3.BaseHTTPResponse:
        body = urlencode(fields).encode()
        return self.send("POST", path, body=body, Content_Type="application/x-www-form-urlencoded", Accept="text/html")


def code(answer: urllib3.BaseHTTPResponse) -> tuple[int, str]:
    return answer.status, answer.json().get("code", "")


def environment(database: str, accounts: str) -> dict[str, str]:
    return {
        "CONTEXTS": "inventory,payments,notifications",
        "DATABASE_URL": database,
        "ACCOUNTS_URL": accounts,
        "INTROSPECTION_SECRET": SECRET,
        "INTROSPECTION_CACHE_SECONDS": str(CACHE_SECONDS),
        "THROTTLE_FAILURES_PER_MINUTE": str(FAILURES),
        "TRUSTED_PROXIES": "1",
        "ALLOWED_HOSTS": f"testserver,{LOCALHOST}",
        "SECRET_KEY": "a secret key of this service only",
        "TRANSPORT_URL": "redis://127.0.0.1:6379",
        "RELAY_IN_WEB": "off",
        "PAYMENT_SIMULATOR_IN_WEB": "off",
    }


@contextmanager
def empty_database(folder: Path) -> Iterator[str]:
    if connection.vendor == "sqlite":
        yield database_url(str(folder / "service.sqlite3"))
        return
    name = f"{connection.settings_dict['NAME']}_elsewhere"
    with psycopg.connect(database_url("postgres"), autocommit=True) as admin:
        admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        admin.execute(f'CREATE DATABASE "{name}"')
        yield database_url(name)
        admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(scope="module")
def database(tmp_path_factory, django_db_setup) -> Iterator[str]:
    """
    The URL of the service's database, with accounts of its own: Sue and Bob, who may view the stock.
    """
    with empty_database(tmp_path_factory.mktemp("database")) as url:
        variables = environment(url, "http://127.0.0.1:1")
        for command in (manage("migrate"), manage("shell", "--no-imports", "-c", GRANT)):
            finished = run(command, **variables)
            assert finished.status == 0, finished.errors
        yield url


@pytest.fixture(scope="module")
def address(database, live_server, tmp_path_factory) -> Iterator[str]:
    """
    The address of the running service.
    """
    log = tmp_path_factory.mktemp("service") / "log"
    with WebServer(log, environment=environment(database, live_server.url)) as service:
        yield service.address


@pytest.fixture
def new_browser(address, settings) -> Callable[[], Browser]:
    settings.SERVICE = replace(settings.SERVICE, introspection_secret=SECRET)
    settings.SECRET_KEY = "a secret key of the service with the accounts"
    return lambda: Browser(address, next(NUMBERS))


NUMBERS = iter(range(1, 255))


@pytest.fixture
def browser(new_browser) -> Browser:
    return new_browser()


def token_of(user: User) -> dict[str, str]:
    return {"Authorization": f"Token {Token.objects.create(user=user, name='till')[1]}"}


def log_in(user: User, browser: Browser) -> None:
    """
    Log a user in where the accounts are, and keep the cookies.
    """
    client = Client()
    client.get("/api/auth/login/")
    client.post("/api/auth/login/", {"username": user.username, "password": PASSWORD})
    browser.cookies |= {name: morsel.value for name, morsel in client.cookies.items()}


class TestToken:
    def test_authenticates_its_user(self, browser, ada):
        bob = CustomerFactory(username="bob")
        of_ada, of_bob = token_of(ada), token_of(bob)

        changed = browser.send(
            "PATCH", PREFERENCES, body=json.dumps(REMINDER_OFF).encode(), Content_Type="application/json", **of_ada
        )

        assert changed.status == 200
        assert is_reminded(browser, of_ada) is False
        assert is_reminded(browser, of_bob) is True
        assert code(browser.get(PREFERENCES)) == (401, "not_authenticated")

    @pytest.mark.parametrize("end", ["revoked", "inactive user"])
    def test_is_invalid_soon_after_its_end(self, browser, ada, end):
        token = token_of(ada)
        assert browser.get(PAYMENTS, **token).status == 200

        if end == "revoked":
            Token.objects.all().delete()
        else:
            User.objects.update(is_active=False)

        assert eventually(lambda: code(browser.get(PAYMENTS, **token)) == (401, "invalid_token")) < CACHE_SECONDS + 5

    def test_that_is_invalid_counts_against_its_address(self, new_browser, ada):
        guesser, other, token = new_browser(), new_browser(), token_of(ada)

        # More than fit into one minute, and the next.
        answers = [guesser.get(PAYMENTS, Authorization=f"Token {n}").status for n in range(2 * FAILURES + 1)]

        assert set(answers) == {401, 429}
        assert answers[:FAILURES] == [401] * FAILURES
        assert other.get(PAYMENTS, **token).status == 200


def is_reminded(browser: Browser, headers: Mapping[str, str]) -> bool:
    rows = browser.get(PREFERENCES, **headers).json()["preferences"]
    [is_on] = [row["is_on"] for row in rows if (row["kind"], row["channel"]) == ("payment_due_soon", "email")]
    return is_on


class TestSession:
    def test_shows_who_is_logged_in_until_the_logout(self, browser, ada):
        guest = browser.page("/problems/")
        log_in(ada, browser)

        for page in (PREFERENCES, PAYMENTS, "/problems/"):
            assert re.search(r'who" [^>]*>.*</span>ada</a>', browser.page(page))
            assert 'action="/api/auth/logout/"' in browser.page(page)
        assert "/api/auth/login/" in guest

        Client().post("/api/auth/logout/", headers={"Cookie": f"sessionid={browser.cookies['sessionid']}"})

        eventually(lambda: browser.get(PAYMENTS).status == 401, within=CACHE_SECONDS + 5)
        assert "/api/auth/login/" in browser.page("/problems/")

    def test_of_an_inactive_user_ends(self, browser, ada):
        log_in(ada, browser)
        assert browser.get(PAYMENTS).status == 200

        User.objects.update(is_active=False)

        eventually(lambda: code(browser.get(PAYMENTS)) == (401, "not_authenticated"), within=CACHE_SECONDS + 5)

    def test_changes_preferences_by_the_form_with_its_csrf_token_only(self, browser, ada):
        log_in(ada, browser)
        [token, *_] = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', browser.page(PREFERENCES))

        forged = browser.post_form(PREFERENCES, shown="payment_due_soon email")
        unchanged = is_reminded(browser, {})
        saved = browser.post_form(PREFERENCES, shown="payment_due_soon email", csrfmiddlewaretoken=token)

        assert (forged.status, unchanged) == (403, True)
        assert (saved.status, saved.headers["Location"]) == (303, PREFERENCES)
        assert "Your choice is saved." in browser.page(PREFERENCES)
        assert is_reminded(browser, {}) is False

    def test_of_the_services_own_admin_counts_there_only(self, browser):
        browser.page("/admin/login/")
        logged_in = browser.post_form(
            "/admin/login/",
            username="bob",
            password="an admin of this service",
            csrfmiddlewaretoken=browser.cookies["csrftoken"],
        )

        assert logged_in.status == 302
        assert browser.get("/admin/").status == 200
        assert browser.get(PAYMENTS).status == 401
        assert browser.get(STOCK).status == 401

    def test_of_a_customer_does_not_open_the_admin(self, browser, ada):
        User.objects.update(is_staff=True, is_superuser=True)
        log_in(ada, browser)

        assert browser.get("/admin/").status == 302


class TestStaff:
    @pytest.mark.parametrize(
        ("name", "rights", "status"),
        [
            ("olga", {"is_staff": True, "is_superuser": True}, 200),
            pytest.param("sue", {"is_staff": True}, 200, id="with an account of that name in the service"),
            pytest.param("carl", {"is_staff": True}, 403, id="without one"),
            pytest.param("bob", {}, 403, id="a customer with the name of one"),
        ],
    )
    def test_views_the_stock_by_the_permissions_that_the_service_gives(self, browser, name, rights, status):
        # The ids of the service's own accounts are these, too.
        users = [CustomerFactory(username=other) for other in ("ada", "eve")]
        user = CustomerFactory(username=name, **rights)

        by_token = browser.get(STOCK, **token_of(user))
        log_in(user, browser)

        assert (by_token.status, browser.get(STOCK).status) == (status, status)
        assert [browser.get(STOCK, **token_of(other)).status for other in users] == [403, 403]


class TestSignedRequest:
    @pytest.fixture
    def signer(self, ada) -> Signer:
        Account.objects.create(user=ada, must_sign=True)
        return signer_of(ada, headers={"Content-Type": "application/json"})

    def change(self, browser: Browser, body: bytes, headers: Mapping[str, str]) -> tuple[int, str]:
        return code(browser.send("PATCH", PREFERENCES, body=body, Host="testserver", **headers))

    def test_is_valid_once(self, browser, ada, signer):
        token, body = token_of(ada), json.dumps(REMINDER_OFF).encode()
        signed = signer.sign("PATCH", PREFERENCES, body) | token

        assert self.change(browser, body, signed) == (200, "")
        assert self.change(browser, body, signed) == (401, "replayed_request")

    def test_is_invalid_with_another_body_or_signer(self, browser, ada, signer):
        token, body = token_of(ada), json.dumps(REMINDER_OFF).encode()
        signed = signer.sign("PATCH", PREFERENCES, body) | token
        forged = replace(signer, private=b"a guess").sign("PATCH", PREFERENCES, body) | token

        assert self.change(browser, body + b" ", signed) == (401, "invalid_signature")
        assert self.change(browser, body, forged) == (401, "invalid_signature")
        assert self.change(browser, body, signed) == (200, "")

    def test_is_required_of_an_account_in_every_service(self, browser, ada, signer):
        body = json.dumps(REMINDER_OFF).encode()

        unsigned = {"Content-Type": "application/json"} | token_of(ada)

        assert self.change(browser, body, unsigned) == (401, "signature_required")


class TestAccountsService:
    def test_that_is_down_is_an_error_for_all_who_send_credentials(self, database, tmp_path, ada):
        variables = environment(database, f"http://{LOCALHOST}:{free_port()}")
        with WebServer(tmp_path / "log", environment=variables) as service:
            browser = Browser(service.address, next(NUMBERS))
            by_token = [browser.get(PAYMENTS, **token_of(ada)) for _ in range(FAILURES + 1)]
            anonymous = browser.get(PAYMENTS)
            log_in(ada, browser)
            by_session = browser.get(PAYMENTS)
            page = browser.get("/problems/", Accept="text/html")

        assert [code(answer) for answer in (*by_token, by_session)] == [(503, "unavailable")] * (FAILURES + 2)
        assert {answer.headers["Retry-After"] for answer in (*by_token, by_session, page)} == {"2"}
        assert "The shop's accounts cannot be reached" in by_session.json()["detail"]
        assert page.status == 503
        assert "The shop&#x27;s accounts cannot be reached" in page.data.decode()
        assert anonymous.status == 401
