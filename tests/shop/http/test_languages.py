"""
The language of a response, and of the order that a request places.
"""

import re
from dataclasses import replace
from urllib.parse import urlencode

import pytest
from django.test import Client
from django.utils.translation import get_language

from orders.models import Order
from shop.accounts.models import Account
from tests.factories import CustomerFactory, ProductFactory

pytestmark = pytest.mark.django_db

PAGE = "/problems/"
ORDER = {"lines": [{"sku": "RED-CHAIR", "quantity": 1}], "payment_method": "tok_visa", "expected_total": 4_500}


def language_of_page(accepted: str | None = None, *, cookie: str | None = None) -> str:
    client = Client()
    if cookie is not None:
        client.cookies["django_language"] = cookie
    response = client.get(PAGE, headers={"Accept-Language": accepted} if accepted is not None else {})
    assert response.status_code == 200
    return response.headers["Content-Language"]


class TestLanguageOfPage:
    @pytest.mark.parametrize(
        ("accepted", "language"),
        [
            ("de", "de"),
            ("de-AT,de;q=0.9", "de"),
            ("DE-CH", "de"),
            ("fr-CH, fr;q=0.9, de;q=0.8, en;q=0.7", "de"),
            ("en;q=0.5, de;q=0.9", "de"),
            ("en-GB,en;q=0.9,de;q=0.8", "en"),
            ("de;q=0", "en"),
            ("de;q=0, en;q=0.1", "en"),
            ("fr, es, ja", "en"),
            ("*", "en"),
            ("", "en"),
            (None, "en"),
        ],
    )
    def test_is_the_first_of_the_shops_that_is_accepted(self, accepted, language):
        assert language_of_page(accepted) == language

    @pytest.mark.parametrize(
        "garbage",
        ["d" * 8_000, "de-" * 2_700, ";q=" * 2_000, "de;q=1.5", "de;q=nan", "%00", "\x01\x7f", "../../de", "ÿ" * 900],
    )
    def test_is_the_shops_for_garbage(self, garbage):
        assert language_of_page(garbage) == "en"

    def test_of_a_long_header_is_read_from_its_beginning(self):
        assert language_of_page("de, " + 8_000 * "x") == "de"

    @pytest.mark.parametrize(
        ("cookie", "language"), [("en", "en"), ("de", "de"), ("fr", "de"), ("", "de"), ("x" * 4_000, "de")]
    )
    def test_is_that_of_the_cookie_unless_the_shop_has_none_of_it(self, cookie, language):
        assert language_of_page("de", cookie=cookie) == language

    def test_is_the_shops_where_none_is_asked_for(self, settings):
        settings.SHOP = replace(settings.SHOP, language="de")

        assert [language_of_page(accepted) for accepted in (None, "fr", "en")] == ["de", "de", "en"]

    def test_ends_with_the_response(self):
        language_of_page("de")

        assert get_language() == "en"


class TestLanguageOfErrorPage:
    @pytest.mark.parametrize("path", ["/nothing/", "/admin/orders/order/"])
    def test_is_switched_on_the_page(self, path):
        visitor = Client(headers={"Accept": "text/html"}, enforce_csrf_checks=True)
        visitor.force_login(CustomerFactory(is_staff=True))
        page = visitor.get(path).content.decode()
        fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page))

        response = visitor.post("/language/", fields | {"language": "de"}, follow=True)

        assert response.redirect_chain == [(path, 302)]
        assert response.headers["Content-Language"] == "de"
        assert '<html lang="de">' in response.content.decode()

    def test_sets_no_cookie_of_a_program(self):
        assert Client().get("/nothing/").cookies == {}


class TestHeaders:
    @pytest.mark.parametrize("path", [PAGE, "/api/v1/products/", "/api/auth/login/", "/nothing/", "/admin/login/"])
    def test_tell_caches_that_a_page_depends_on_the_language(self, path):
        response = Client().get(path, headers={"Accept": "text/html", "Accept-Language": "de"})

        assert response.headers["Content-Language"] == "de"
        assert "Accept-Language" in response.headers["Vary"]

    @pytest.mark.parametrize("path", ["/api/v1/orders/", "/nothing/", "/api/v1/products/?sort=price"])
    def test_tell_caches_that_a_problem_depends_on_the_language(self, path):
        response = Client().get(path, headers={"Accept-Language": "de"})

        assert response.headers["Content-Language"] == "de"
        assert "Accept-Language" in response.headers["Vary"]

    def test_say_so_of_a_body_that_is_rejected_unread(self):
        response = Client().generic("POST", "/api/v1/orders/", b"x" * 70_000, headers={"Accept-Language": "de"})

        assert (response.status_code, response.headers["Content-Language"]) == (413, "de")

    @pytest.mark.parametrize("path", ["/api/v1/products/", "/healthz", "/static/shop/shop.css"])
    def test_say_nothing_about_the_language_of_data_and_files(self, path):
        response = Client().get(path, headers={"Accept": "*/*", "Accept-Language": "de"})

        assert response.status_code == 200
        assert "Content-Language" not in response.headers
        assert "Accept-Language" not in response.headers.get("Vary", "")


class TestLanguageOfOrder:
    @pytest.fixture(autouse=True)
    def _product(self):
        ProductFactory(sku="RED-CHAIR", price=4_500)

    @pytest.mark.parametrize(("accepted", "language"), [("de-AT,de;q=0.9", "de"), ("fr", "en"), ("", "en")])
    def test_is_that_of_the_request(self, api, accepted, language):
        headers = {"Idempotency-Key": "basket-1", "Accept-Language": accepted}

        assert api.post("/api/v1/orders/", ORDER, format="json", headers=headers).status_code == 201
        assert Order.objects.get().language == language

    @pytest.mark.parametrize(("account", "language"), [("de", "de"), ("en", "en"), ("", "de")])
    def test_is_that_of_the_account_if_it_has_one(self, api, ada, account, language):
        Account.objects.create(user=ada, language=account)
        headers = {"Idempotency-Key": "basket-1", "Accept-Language": "de"}

        api.post("/api/v1/orders/", ORDER, format="json", headers=headers)

        assert Order.objects.get().language == language

    @pytest.mark.parametrize(("account", "language"), [("de", "de"), ("", "en"), (None, "en")])
    def test_of_the_checkout_is_that_of_the_account_or_of_the_page(self, browser, ada, account, language):
        if account is not None:
            Account.objects.create(user=ada, language=account)
        browser.cookies["django_language"] = "en"
        form = {
            "quantity[RED-CHAIR]": "1",
            "expected_total": "4500",
            "payment_method": "tok_visa",
            "idempotency_key": "basket-1",
        }

        response = browser.post(
            "/api/v1/orders/",
            urlencode(form),
            "application/x-www-form-urlencoded",
            headers={"Accept-Language": "de"},
        )

        assert response.status_code == 303
        assert Order.objects.get().language == language
