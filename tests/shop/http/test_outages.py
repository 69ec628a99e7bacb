from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection
from django.test import Client

from shop import index
from tests.factories import api_of, make_customer
from tests.refusals import problem_of

pytestmark = pytest.mark.django_db

SECRET = "the password is swordfish"
CLOSED_PORT = 1


class TestFailure:
    @pytest.fixture(params=["the API", "a page"])
    def broken(self, request, monkeypatch) -> str:
        """
        Have something fail that nobody foresaw, and tell the address.
        """

        def fail(*_: object, **__: object) -> None:
            raise RuntimeError(SECRET)

        if request.param == "the API":
            monkeypatch.setattr("orders.serializers.ProductFilter.filter_search", fail)
            return "/api/v1/products/?search=x"
        monkeypatch.setattr(index, "render", fail)
        return "/problems/"

    def test_500_leaks_nothing_and_can_be_found_in_the_log(self, ask, broken, caplog):
        answer = ask(broken, code="internal_error")

        told = answer.content.decode()
        assert not any(word in told for word in ("swordfish", "Traceback", "RuntimeError", "site-packages", ".py"))
        [line] = [record for record in caplog.records if record.levelname == "ERROR"]
        assert line.request_id == answer.headers["X-Request-Id"]
        assert SECRET in line.exc_text

    def test_500_leaks_nothing_to_a_program_while_debugging(self, settings, broken):
        settings.DEBUG = True

        answer = Client(raise_request_exception=False).get(broken)

        assert problem_of(answer)["code"] == "internal_error"
        assert "swordfish" not in answer.content.decode()

    def test_500_says_the_same_as_its_log_each_time_anew(self, broken):
        client = Client(raise_request_exception=False)

        assert client.get(broken).json()["request_id"] != client.get(broken).json()["request_id"]


class TestOutage:
    @pytest.fixture
    def outage(self, monkeypatch) -> Iterator[ThreadPoolExecutor]:
        """
        Put the database out of reach of whoever comes from now on, in another thread than the test's own.
        """
        gone = {"NAME": "/no/such/folder/shop.sqlite3"} if connection.vendor == "sqlite" else {"PORT": CLOSED_PORT}
        for name, value in gone.items():
            monkeypatch.setitem(connection.settings_dict, name, value)
        with ThreadPoolExecutor(max_workers=1) as elsewhere:
            yield elsewhere

    @pytest.mark.parametrize("path", ["/api/v1/products/", "/api/v1/orders/", "/api/v1/quote/", "/", "/admin/"])
    def test_503_when_the_database_is_out_of_reach(self, ask, outage, path):
        visitor = Client(raise_request_exception=False)
        visitor.force_login(make_customer())

        answer = outage.submit(ask, path, client=visitor, code="unavailable").result()

        assert int(answer.headers["Retry-After"]) > 0
        assert not any(word in answer.content.decode() for word in ("sqlite", "connection", "127.0.0.1", "Traceback"))

    def test_503_to_a_program_with_a_token(self, outage):
        client = api_of("ada")

        answer = outage.submit(client.post, "/api/v1/orders/", b"{}", content_type="application/json").result()

        assert problem_of(answer)["code"] == "unavailable"

    def test_503_to_whoever_logs_in(self, ask, outage):
        form = {"data": b"username=a&password=b", "content_type": "application/x-www-form-urlencoded"}
        for path in ("/admin/login/", "/api/auth/login/"):
            outage.submit(ask, path, "POST", code="unavailable", **form).result()

    def test_503_to_whoever_asks_whether_all_is_well(self, outage):
        assert outage.submit(Client().get, "/healthz").result().status_code == 503

    def test_stops_no_page_that_needs_no_database(self, outage):
        assert outage.submit(Client().get, "/problems/").result().status_code == 200
