import pytest
from django.test import Client

from tests.factories import CustomerFactory, api_of
from tests.refusals import problem_of
from tests.shop.http.readers import PERSON, code_of

pytestmark = pytest.mark.django_db


class TestStatuses:
    @pytest.mark.parametrize("path", ["/", "/api/v1/products/", "/nothing/", "/healthz"])
    def test_400_for_another_host(self, ask, path):
        ask(path, headers={"Host": "evil.example"}, code="bad_request")

    @pytest.mark.parametrize("debug", [True, False])
    @pytest.mark.parametrize("host", ["evil.example", "a b", "[::1", ""])
    def test_400_to_a_program_for_an_invalid_host(self, settings, debug, host):
        settings.DEBUG = debug

        answer = Client().get("/api/v1/products/", headers={"Host": host})

        assert problem_of(answer)["code"] == "bad_request"

    @pytest.mark.parametrize("path", ["/admin/orders/product/%00/change/", "/admin/orders/order/?status__exact=%00"])
    def test_400_at_most_for_a_value_that_no_column_can_hold(self, path):
        operator = Client()
        operator.force_login(CustomerFactory(is_staff=True, is_superuser=True))

        answer = operator.get(path)

        assert answer.status_code < 400 or problem_of(answer)["code"] == "bad_request"

    @pytest.mark.parametrize("path", ["/", "/admin/", "/api/v1/orders/"])
    def test_ignores_cookies_with_a_nul(self, path):
        client, odd = Client(), Client(headers={"Cookie": 'sessionid="\\000abcdefgh"; csrftoken="\\000"'})

        assert odd.get(path).status_code == client.get(path).status_code

    def test_403_for_a_form_without_a_csrf_token(self, ask):
        ask("/admin/login/", "POST", client=Client(enforce_csrf_checks=True), code="csrf_failed")

    def test_403_for_an_operator_without_permission(self, ask):
        clerk = Client()
        clerk.force_login(CustomerFactory(is_staff=True))

        ask("/admin/orders/order/", client=clerk, code="permission_denied")

    @pytest.mark.parametrize("path", ["/nothing/", "/api/v1/nothing/", "/api/", "/admin/nothing/x/", "/%00/", "/%ff/"])
    def test_404_for_an_unknown_url(self, ask, path):
        operator = Client()
        operator.force_login(CustomerFactory(is_staff=True, is_superuser=True))

        ask(path, client=operator, code="not_found")

    def test_404_to_a_program_while_debugging(self, settings):
        settings.DEBUG = True

        assert problem_of(Client().get("/nothing/"))["code"] == "not_found"

    @pytest.mark.parametrize("path", ["/", "/healthz", "/problems/"])
    @pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "TRACE", "X"])
    def test_405_with_the_allowed_methods(self, ask, path, method):
        answer = ask(path, method, code="method_not_allowed")

        assert answer.headers["Allow"].startswith("GET, HEAD")

    @pytest.mark.parametrize("path", ["/admin/login/", "/", "/nothing/", "/api/v1/orders/"])
    def test_413_for_a_body_that_is_too_large(self, ask, path):
        ask(path, "POST", data=b"a" * 3_000_000, content_type="text/plain", code="body_too_large")


class TestForm:
    @pytest.mark.parametrize(
        ("form", "accepts"),
        [
            ("problem", [None, "", "*/*", "application/json", "application/problem+json", "application/*"]),
            ("problem", ["image/png", "nonsense", ",;=", "text/html;q=0.5, application/json"]),
            ("page", ["text/html", "text/*", PERSON["Accept"], "application/json;q=0.1, text/html"]),
        ],
    )
    @pytest.mark.parametrize("path", ["/nothing/", "/api/v1/nothing/"])
    def test_is_the_one_that_the_request_prefers(self, path, form, accepts):
        for accept in accepts:
            answer = Client().get(path, headers={} if accept is None else {"Accept": accept})

            assert code_of(answer, as_page=form == "page") == "not_found", accept

    @pytest.mark.parametrize("path", ["/nothing/", "/api/v1/orders/"])
    def test_has_no_body_for_head(self, path):
        whole, head = Client().get(path), Client().head(path)

        assert (head.status_code, head.content) == (whole.status_code, b"")
        assert head.headers["Content-Type"] == whole.headers["Content-Type"]

    def test_is_the_same_for_options(self):
        assert problem_of(Client().options("/api/v1/orders/"))["code"] == "not_authenticated"
        assert problem_of(Client().options("/nothing/"))["code"] == "not_found"
        assert api_of("ada").options("/api/v1/orders/").status_code == 200
