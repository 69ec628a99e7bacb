import sys
from dataclasses import replace

import pytest
from django.db import connection, transaction
from django.http import HttpResponse
from django.middleware.security import SecurityMiddleware
from django.test import Client, RequestFactory

from shop.monitoring import cached, views
from shop.settings.groups import CONTEXTS
from tests.outbox import counting_statements
from tests.processes import run
from tests.refusals import problem_of

pytestmark = pytest.mark.django_db

TOKEN = 40 * "t"


@pytest.fixture
def token(settings) -> dict[str, str]:
    """
    The headers of a request with the token of the metrics.
    """
    settings.MONITORING = replace(settings.MONITORING, metrics_token=TOKEN)
    return {"Authorization": f"Bearer {TOKEN}"}


def status_of_metrics(address: str, **headers: str) -> int:
    return Client(REMOTE_ADDR=address).get("/metrics", headers=headers).status_code


class TestLivez:
    def test_is_ok_without_a_database(self, outage):
        answer = outage.submit(Client().get, "/livez").result()

        assert (answer.status_code, answer.content) == (200, b"ok\n")


class TestMetricsWithoutTables:
    def test_are_unavailable_with_advice(self, client):
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("ALTER TABLE messaging_worker RENAME TO gone")
            answer = client.get("/metrics")
            transaction.set_rollback(True)

        assert answer.status_code == 503
        if connection.vendor == "postgresql":
            assert problem_of(answer)["detail"] == "A table is missing: run migrate."


class TestEach:
    @pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics"])
    @pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
    def test_allows_only_reading(self, client, path, method):
        answer = getattr(client, method)(path)

        assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD")

    @pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics"])
    def test_has_no_body_for_head_and_is_not_stored(self, client, path):
        answer = client.head(path)

        assert (answer.status_code, answer.content) == (client.get(path).status_code, b"")
        assert answer.headers["Cache-Control"] == "no-store"

    @pytest.mark.parametrize("path", ["/readyz", "/metrics"])
    def test_reads_the_database_once_a_second(self, client, path):
        client.get(path)

        with counting_statements() as statements:
            for _ in range(10):
                client.get(path)

        assert len(statements) <= 12

    @pytest.mark.parametrize(("path", "status"), [("/livez", 200), ("/readyz", 503), ("/metrics", 503)])
    def test_answers_while_another_request_hangs(self, client, monkeypatch, path, status):
        monkeypatch.setattr(cached, "WAIT_SECONDS", 0.01)
        with views.readiness._lock, views.exposition._lock:
            answer = client.get(path)

        assert answer.status_code == status

    @pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics"])
    def test_is_not_redirected_to_https(self, settings, path):
        settings.SECURE_SSL_REDIRECT = True
        reached = SecurityMiddleware(lambda request: HttpResponse("reached"))

        assert reached(RequestFactory().get(path)).content == b"reached"
        assert reached(RequestFactory().get("/")).status_code == 301

    @pytest.mark.parametrize("context", CONTEXTS)
    def test_is_in_every_service(self, context):
        program = (
            "import django; django.setup(); from django.core.management import call_command;"
            "call_command('migrate', verbosity=0); from django.test import Client; client = Client();"
            "print(*[client.get(path).status_code for path in ('/livez', '/readyz', '/metrics')]);"
            "print(client.get('/readyz').json()['checks']); print(client.get('/metrics').content.decode())"
        )

        finished = run([sys.executable, "-c", program], **variables_of(context))

        statuses, checks, *metrics = finished.output.splitlines()
        assert statuses == "200 503 200", finished.errors
        assert "'migrations': 'ok'" in checks
        assert f'shop_info{{service="{context}"}} 1.0' in metrics
        assert "shop_broker_up 0.0" in metrics
        assert ("shop_open_orders" in finished.output) == (context == "orders")


def variables_of(context: str) -> dict[str, str]:
    """
    Return the variables of a service with this context, whose broker does not answer.
    """
    return {
        "DJANGO_SETTINGS_MODULE": "shop.settings",
        "DATABASE_URL": "sqlite://:memory:",
        "ALLOWED_HOSTS": "testserver",
        "CONTEXTS": context,
        "TRANSPORT_URL": "redis://127.0.0.1:1",
        "ACCOUNTS_URL": "http://127.0.0.1:8000",
        "INTROSPECTION_SECRET": 32 * "s",
    }


class TestMetrics:
    @pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
    def test_are_for_this_machine(self, address):
        assert status_of_metrics(address) == 200

    @pytest.mark.parametrize("address", ["10.0.0.1", "2001:db8::1", "", "unix"])
    def test_are_for_no_other_address(self, address):
        assert status_of_metrics(address) == 403

    def test_are_for_networks_in_the_setting(self, settings):
        settings.MONITORING = replace(settings.MONITORING, metrics_addresses=("10.1.0.0/16", "2001:db8::/64"))

        allowed = {address: status_of_metrics(address) for address in ("10.1.2.3", "2001:db8::7", "10.2.0.1", "::1")}

        assert allowed == {"10.1.2.3": 200, "2001:db8::7": 200, "10.2.0.1": 403, "::1": 403}

    @pytest.mark.parametrize("header", ["X-Forwarded-For", "X-Forwarded-Proto", "X-Real-IP", "Forwarded", "Via"])
    def test_are_not_for_clients_of_a_proxy_on_this_machine(self, header):
        assert status_of_metrics("127.0.0.1", **{header: "127.0.0.1"}) == 403

    def test_are_for_clients_whose_address_a_trusted_proxy_reports(self, settings):
        settings.REST_FRAMEWORK = settings.REST_FRAMEWORK | {"NUM_PROXIES": 1}

        def through_proxy(forwarded: str) -> int:
            return status_of_metrics("10.0.0.9", **{"X-Forwarded-For": forwarded, "X-Forwarded-Proto": "https"})

        assert through_proxy("127.0.0.1, 203.0.113.7") == 403
        assert through_proxy("203.0.113.7, 127.0.0.1") == 200
        assert status_of_metrics("127.0.0.1", **{"X-Forwarded-Proto": "https"}) == 403

    def test_are_for_every_address_with_the_token(self, token):
        assert status_of_metrics("203.0.113.7", **token) == 200

    @pytest.mark.parametrize("sent", ["", "Bearer", f"Bearer {TOKEN}x", f"Token {TOKEN}", TOKEN, "Bearer ü\x00"])
    def test_are_not_for_another_token_from_any_address(self, token, sent):
        for address in ("127.0.0.1", "203.0.113.7"):
            answer = Client(REMOTE_ADDR=address).get("/metrics", headers={"Authorization": sent})
            assert problem_of(answer)["code"] == "permission_denied"

    @pytest.mark.parametrize("sent", ["Bearer", "Bearer "])
    def test_have_no_token_by_default(self, sent):
        assert status_of_metrics("203.0.113.7", Authorization=sent) == 403

    def test_limit_guessing(self, token, limits):
        limits(failures_per_minute=3)

        guesses = [status_of_metrics("203.0.113.7", Authorization=f"Bearer {n}") for n in range(4)]

        assert guesses == [403, 403, 403, 429]
        assert status_of_metrics("203.0.113.7", **token) == 429
        assert status_of_metrics("203.0.113.8", **token) == 200
