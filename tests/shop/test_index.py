from dataclasses import replace

import pytest
from django.db import OperationalError, connection
from rest_framework.test import APIClient

from shop.scenes import CUSTOMER, OPERATOR
from shop.settings.groups import SIMULATED_GATEWAY
from tests.factories import CustomerFactory

pytestmark = pytest.mark.django_db

TOKENS = "/api/v1/tokens/"
ORDERS = "/api/v1/orders/"


class TestHealthz:
    def test_is_ok_while_the_database_responds(self, client):
        answer = client.get("/healthz")

        assert (answer.status_code, answer.content) == (200, b"ok\n")

    def test_is_unavailable_without_a_database(self, client):
        def refuse(execute, sql, params, many, context):
            raise OperationalError("connection refused")

        with connection.execute_wrapper(refuse):
            answer = client.get("/healthz")

        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")


class TestLanding:
    def test_links_to_each_part(self, client, settings):
        text = client.get("/").content.decode()

        assert settings.SHOP.name in text
        for address in (ORDERS, TOKENS, "/admin/", "/api/auth/login/"):
            assert address in text

    def test_shows_logins_and_addresses_in_the_demo(self, client, settings):
        settings.DEBUG, settings.SHOP = True, replace(settings.SHOP, demo=True)
        settings.PAYMENTS = replace(settings.PAYMENTS, gateway=SIMULATED_GATEWAY)

        text = client.get("/").content.decode()

        for shown in (*CUSTOMER, *OPERATOR):
            assert f">{shown}</code>" in text
        simulator = f"{settings.PAYMENTS.simulator_url}/"
        for address in ("/api/v1/products/", "/admin/", "/sent/", simulator, "/api/v1/docs/"):
            assert f'<dd><a href="{address}">' in text

    def test_shows_no_login_of_another_shop(self, client, settings):
        settings.DEBUG = True

        text = client.get("/").content.decode()

        assert [shown for shown in (*CUSTOMER, *OPERATOR) if f">{shown}<" in text] == []

    def test_links_to_pages_with_the_name_of_the_shop(self, client, ada, settings):
        settings.SHOP = replace(settings.SHOP, name="Bob's Tables")
        client.force_login(ada)

        text = client.get(ORDERS, headers={"Accept": "text/html"}).content.decode()

        assert "<title>Your orders – Bob&#x27;s Tables</title>" in text
        assert "Django REST framework" not in text


class TestRoot:
    def test_links_to_every_resource(self):
        staff = CustomerFactory(username="sue", is_staff=True, is_superuser=True)
        client = APIClient()
        client.force_authenticate(staff)

        resources = client.get("/api/v1/").json()

        assert set(resources) >= {"products", "orders", "payments", "notifications", "stock", "tokens", "signing_keys"}
        answers = {name: client.get(address).status_code for name, address in resources.items()}
        assert answers == dict.fromkeys(resources, 200) | {"quote": 400}  # an empty basket is invalid
