import pytest
from django.test import Client

from shop.templatetags.shop_tags import prose
from tests.callers import ask_for_a_token
from tests.factories import PASSWORD

pytestmark = pytest.mark.django_db

HTML = {"Accept": "text/html"}
LOGIN = "/api/auth/login/"


def log_in(client: Client, password: str, **fields: str):
    return client.post(LOGIN, {"username": "ada", "password": password} | fields)


class TestLogin:
    def test_redirects_to_the_next_page(self, ada, client):
        answer = log_in(client, PASSWORD, next="/api/v1/orders/")

        assert (answer.status_code, answer.headers["Location"]) == (302, "/api/v1/orders/")

    def test_shows_a_failure_and_keeps_the_username(self, ada, client):
        text = log_in(client, "three green chairs").content.decode()

        assert 'role="alert"' in text
        assert 'value="ada"' in text
        assert "three green chairs" not in text

    def test_ends_with_a_logout(self, ada, client):
        log_in(client, PASSWORD)

        inside = client.get("/").content.decode()
        answer = client.post("/api/auth/logout/")
        outside = client.get("/").content.decode()

        assert ("Log out" in inside, "Log out" in outside) == (True, False)
        assert ("</span>ada</a>" in inside, "</span>ada</a>" in outside) == (True, False)
        assert (answer.status_code, answer.headers["Location"]) == (302, "/")


class TestProblems:
    @pytest.mark.parametrize("parameter", ["cursor", "status"])
    def test_name_the_invalid_parameter(self, browser, parameter):
        answer = browser.get("/api/v1/payments/", {parameter: "x"})

        assert answer.status_code == 400
        assert f"<code>{parameter}</code>: invalid_parameter" in answer.content.decode()

    def test_link_to_the_login_also_where_nothing_is_authenticated(self, client):
        page = client.get("/nowhere/", headers=HTML).content.decode()

        assert '<a href="/api/auth/login/">Log in</a>' in page

    def test_are_a_login_form_if_the_page_requires_a_login(self, client):
        page = client.get("/api/v1/payments/", headers=HTML).content.decode()

        assert "<title>Log in – " in page

    def test_format_code(self, client):
        page = client.get("/problems/").content.decode()

        assert "Log in, or send <code>Authorization: Token …</code>." in page
        assert "`" not in page
        assert prose("`<b>` & c") == "<code>&lt;b&gt;</code> &amp; c"


class TestShopPages:
    def test_show_any_response_and_its_json(self, browser):
        text = browser.get("/api/v1/tokens/").content.decode()

        assert "There is nothing here yet." in text
        assert "<b>GET /api/v1/tokens/</b>" in text
        assert "&quot;results&quot;: []" in text

    def test_have_delete_buttons_in_a_list(self, browser):
        token = ask_for_a_token().json()

        text = browser.get("/api/v1/tokens/").content.decode()

        assert f'data-method="DELETE" action="/api/v1/tokens/{token["id"]}/"' in text
        assert token["token"] not in text
