import pytest
from django.test import Client

from shop import index
from tests.factories import CustomerFactory, api_of
from tests.refusals import problem_of

pytestmark = pytest.mark.django_db

SECRET = "the password is swordfish"


class TestInternalError:
    @pytest.fixture(params=["the API", "a page"])
    def broken(self, request, monkeypatch) -> str:
        """
        Raise an unexpected exception at the URL that is returned.
        """

        def fail(*_: object, **__: object) -> None:
            raise RuntimeError(SECRET)

        if request.param == "the API":
            monkeypatch.setattr("orders.serializers.ProductFilter.filter_search", fail)
            return "/api/v1/products/?search=x"
        monkeypatch.setattr(index, "render", fail)
        return "/problems/"

    def test_discloses_nothing_and_is_logged_with_the_request_id(self, ask, broken, caplog):
        answer = ask(broken, code="internal_error")

        text = answer.content.decode()
        assert not any(word in text for word in ("swordfish", "Traceback", "RuntimeError", "site-packages", ".py"))
        [line] = [record for record in caplog.records if record.levelname == "ERROR"]
        assert line.request_id == answer.headers["X-Request-Id"]
        assert SECRET in line.exc_text

    def test_discloses_nothing_to_a_program_while_debugging(self, settings, broken):
        settings.DEBUG = True

        answer = Client(raise_request_exception=False).get(broken)

        assert problem_of(answer)["code"] == "internal_error"
        assert "swordfish" not in answer.content.decode()


class TestOutage:
    @pytest.mark.parametrize("path", ["/api/v1/products/", "/api/v1/orders/", "/api/v1/quote/", "/", "/admin/"])
    def test_is_a_503_everywhere(self, ask, outage, path):
        visitor = Client(raise_request_exception=False)
        visitor.force_login(CustomerFactory())

        answer = outage.submit(ask, path, client=visitor, code="unavailable").result()

        assert int(answer.headers["Retry-After"]) > 0
        assert not any(word in answer.content.decode() for word in ("sqlite", "connection", "127.0.0.1", "Traceback"))

    def test_is_a_503_to_a_program_with_a_token(self, outage):
        client = api_of("ada")

        answer = outage.submit(client.post, "/api/v1/orders/", b"{}", content_type="application/json").result()

        assert problem_of(answer)["code"] == "unavailable"

    def test_is_a_503_at_a_login(self, ask, outage):
        form = {"data": b"username=a&password=b", "content_type": "application/x-www-form-urlencoded"}
        for path in ("/admin/login/", "/api/auth/login/"):
            outage.submit(ask, path, "POST", code="unavailable", **form).result()

    def test_is_a_503_of_the_health_check(self, outage):
        assert outage.submit(Client().get, "/healthz").result().status_code == 503

    def test_leaves_pages_without_a_database(self, outage):
        assert outage.submit(Client().get, "/problems/").result().status_code == 200
