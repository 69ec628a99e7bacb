import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from shop.templatetags.shop_tags import prose

pytestmark = pytest.mark.django_db

HTML = {"Accept": "text/html"}
LOGIN = "/api/auth/login/"


@pytest.fixture
def ada(client):
    get_user_model().objects.create_user("ada", password="three red chairs")
    return client


def log_in(client: Client, password: str, **fields: str):
    return client.post(LOGIN, {"username": "ada", "password": password} | fields)


class TestLogin:
    def test_leads_on_to_where_the_customer_wanted_to_go(self, ada):
        answer = log_in(ada, "three red chairs", next="/api/v1/orders/")

        assert (answer.status_code, answer.headers["Location"]) == (302, "/api/v1/orders/")

    def test_says_that_it_failed_and_keeps_the_name(self, ada):
        text = log_in(ada, "three green chairs").content.decode()

        assert 'role="alert"' in text
        assert 'value="ada"' in text
        assert "three green chairs" not in text

    def test_offers_the_way_out_again(self, ada):
        log_in(ada, "three red chairs")

        inside = ada.get("/").content.decode()
        answer = ada.post("/api/auth/logout/")
        outside = ada.get("/").content.decode()

        assert ("Log out" in inside, "Log out" in outside) == (True, False)
        assert ("</span>ada</span>" in inside, "</span>ada</span>" in outside) == (True, False)
        assert (answer.status_code, answer.headers["Location"]) == (302, "/")


class TestProblems:
    @pytest.mark.parametrize("parameter", ["cursor", "status"])
    def test_name_what_is_at_fault_in_the_address(self, ada, parameter):
        log_in(ada, "three red chairs")

        answer = ada.get("/api/v1/payments/", {parameter: "x"}, headers=HTML)

        assert answer.status_code == 400
        assert f"<code>{parameter}</code>: invalid_parameter" in answer.content.decode()

    def test_lead_a_stranger_to_the_login_even_where_nobody_looked_who_it_is(self, client):
        page = client.get("/nowhere/", headers=HTML).content.decode()

        assert '<a href="/api/auth/login/">Log in</a>' in page

    def test_are_called_a_login_where_that_is_what_is_missing(self, client):
        page = client.get("/api/v1/payments/", headers=HTML).content.decode()

        assert "<title>Log in – " in page

    def test_set_code_in_its_letters_and_nothing_else(self, client):
        page = client.get("/problems/").content.decode()

        assert "Log in, or send <code>Authorization: Token …</code>." in page
        assert "`" not in page
        assert prose("`<b>` & c") == "<code>&lt;b&gt;</code> &amp; c"


class TestShopPages:
    def test_show_any_answer_and_what_a_program_sees_of_it(self, ada):
        log_in(ada, "three red chairs")

        text = ada.get("/api/v1/tokens/", headers=HTML).content.decode()

        assert "There is nothing here yet." in text
        assert "<b>GET /api/v1/tokens/</b>" in text
        assert "&quot;results&quot;: []" in text

    def test_offer_to_delete_what_has_no_page_of_its_own(self, ada):
        log_in(ada, "three red chairs")
        wish = {"username": "ada", "password": "three red chairs", "name": "my kettle"}
        made = ada.post("/api/v1/tokens/", wish, content_type="application/json").json()

        text = ada.get("/api/v1/tokens/", headers=HTML).content.decode()

        assert f'data-method="DELETE" action="/api/v1/tokens/{made["id"]}/"' in text
        assert made["token"] not in text
