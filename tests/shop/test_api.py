from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.db import OperationalError, connection
from django.utils import timezone
from knox.models import AuthToken
from rest_framework.test import APIClient

pytestmark = pytest.mark.django_db

TOKENS = "/api/v1/tokens/"
ORDERS = "/api/v1/orders/"


@pytest.fixture
def ada():
    return get_user_model().objects.create_user("ada", password="three red chairs")


def ask(**credentials: object):
    return APIClient().post(TOKENS, credentials, format="json")


class TestTokens:
    def test_come_for_a_name_and_a_password_and_open_the_api(self, ada):
        answer = ask(username="ada", password="three red chairs")

        assert answer.status_code == 201
        assert set(answer.json()) == {"token", "expires_at"}
        program = APIClient()
        program.credentials(HTTP_AUTHORIZATION=f"Token {answer.json()['token']}")
        assert program.get(ORDERS).json() == {"next": None, "previous": None, "results": []}

    def test_refuse_what_is_nested_too_deeply(self):
        answer = APIClient().post(TOKENS, "[" * 100_000, content_type="application/json")

        assert (answer.status_code, answer.json()) == (400, {"detail": "This JSON is nested too deeply."})

    @pytest.mark.parametrize(
        "wrong",
        [
            {"password": "three green chairs"},
            {"username": "eve"},
            {"password": ""},
            {"username": "ada\x00"},
            {"password": None},
            {"password": ["three red chairs"]},
        ],
    )
    def test_come_for_nothing_else(self, ada, wrong):
        answer = ask(**{"username": "ada", "password": "three red chairs"} | wrong)

        assert answer.status_code == 400
        assert not AuthToken.objects.exists()

    def test_come_for_nobody_who_has_left(self, ada):
        get_user_model().objects.update(is_active=False)

        assert ask(username="ada", password="three red chairs").status_code == 400

    @pytest.mark.parametrize("end", ["expired", "left", "revoked"])
    def test_open_nothing_any_more_once(self, ada, end):
        program = APIClient()
        program.credentials(
            HTTP_AUTHORIZATION=f"Token {ask(username='ada', password='three red chairs').data['token']}"
        )
        if end == "expired":
            AuthToken.objects.update(expiry=timezone.now() - timedelta(seconds=1))
        elif end == "left":
            get_user_model().objects.update(is_active=False)
        else:
            AuthToken.objects.all().delete()

        answer = program.get(ORDERS)

        assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Token")

    def test_are_not_stored(self, ada):
        token = ask(username="ada", password="three red chairs").data["token"]

        assert token not in str(AuthToken.objects.values())


class TestHealthz:
    def test_is_well_while_the_database_answers(self, client):
        answer = client.get("/healthz")

        assert (answer.status_code, answer.content) == (200, b"ok\n")

    def test_is_not_without_a_database(self, client):
        def refuse(execute, sql, params, many, context):
            raise OperationalError("connection refused")

        with connection.execute_wrapper(refuse):
            answer = client.get("/healthz")

        assert (answer.status_code, answer.content) == (503, b"database out of reach\n")


class TestLanding:
    def test_shows_the_ways_in(self, client, settings):
        text = client.get("/").content.decode()

        assert settings.SHOP_NAME in text
        for address in (ORDERS, TOKENS, "/admin/", "/api/auth/login/"):
            assert address in text

    @pytest.mark.parametrize("address", [ORDERS, "/admin/login/", "/api/auth/login/"])
    def test_leads_to_pages_for_people(self, client, ada, address):
        client.force_login(ada)

        answer = client.get(address, headers={"Accept": "text/html"})

        assert answer.status_code == 200
        assert "<html" in answer.content.decode()

    def test_leads_to_pages_under_the_shops_name(self, client, ada, settings):
        settings.SHOP_NAME = "Bob's Tables"
        client.force_login(ada)

        text = client.get(ORDERS, headers={"Accept": "text/html"}).content.decode()

        assert "<title>Order List – Bob&#x27;s Tables</title>" in text
        assert "Django REST framework" not in text
