import json
from dataclasses import replace
from urllib.parse import quote

import pytest
from django.test import RequestFactory

from shop.http.parsers import rejected_body
from tests.factories import ProductFactory

pytestmark = pytest.mark.django_db

EVERYWHERE = ["/", "/nothing/", "/healthz", "/admin/login/", "/api/v1/products/", "/api/v1/docs/"]


@pytest.fixture
def shop(settings, connection_stays_open):
    """
    Return the WSGI application.
    """
    settings.MESSAGING = replace(settings.MESSAGING, relay_in_web=False)
    settings.PAYMENTS = replace(settings.PAYMENTS, simulator_in_web=False)
    from shop import wsgi

    return wsgi.application


def ask(shop, address, **environ) -> tuple[int, bytes]:
    """
    Send a request with these WSGI variables, and return the status and the body of its response.
    """
    statuses = []
    request = RequestFactory().get(address)
    body = b"".join(shop(request.environ | environ, lambda status, headers: statuses.append(status)))
    return int(statuses[0][:3]), body


class TestPlainRequest:
    @pytest.mark.parametrize("address", EVERYWHERE)
    @pytest.mark.parametrize("name", ["CONTENT_TYPE", "HTTP_ACCEPT"])
    @pytest.mark.parametrize("value", ["text/html; x*=klingon'en'%41", "*/*; a,b *= undefined''%ff"])
    def test_ignores_parameters_with_a_charset(self, shop, address, name, value):
        assert ask(shop, address, **{name: value})[0] == ask(shop, address)[0] < 500

    @pytest.mark.parametrize("address", EVERYWHERE)
    @pytest.mark.parametrize("charset", ["klingon", "undefined", "base64", "idna", "punycode", "rot13", "utf-16"])
    def test_ignores_the_charset_for_the_url(self, shop, address, charset):
        url = f"{address}?format=json&next=%41%e9%ff"

        status, _ = ask(shop, url, CONTENT_TYPE=f"application/json; charset={charset}")

        assert status == ask(shop, url)[0] < 500

    def test_searches_the_same_whatever_the_charset(self, shop):
        ProductFactory(sku="CAFE", name="Café")
        bodies = [
            ask(shop, f"/api/v1/products/?search={quote('Café')}", CONTENT_TYPE=f"text/plain; charset={charset}")[1]
            for charset in ("utf-8", "latin-1", "cp037", "utf-7")
        ]

        assert len(set(bodies)) == 1
        assert [product["sku"] for product in json.loads(bodies[0])["results"]] == ["CAFE"]


class TestRejectedQuery:
    @pytest.mark.parametrize("debug", [True, False])
    @pytest.mark.parametrize("address", EVERYWHERE)
    def test_has_too_many_parameters(self, shop, settings, address, debug):
        settings.DEBUG = debug

        status, body = ask(shop, f"{address}?{'a&' * 1_001}", HTTP_ACCEPT="application/json")

        assert (status, json.loads(body)["code"]) == (400, "bad_request")


class TestRejectedBody:
    @pytest.mark.parametrize(
        ("length", "code"),
        [
            *[(length, "") for length in ("", "0", "65536", "0" * 5_000 + "5")],
            *[(length, "body_too_large") for length in ("65537", "00065537", "9" * 5_000)],
            *[(length, "bad_request") for length in (" ", "-1", "+5", "1e3", "５", "²")],
        ],
    )
    def test_is_determined_by_the_digits_of_its_length(self, rf, length, code):
        assert rejected_body(rf.get("/api/v1/orders/", CONTENT_LENGTH=length)) == code

    @pytest.mark.parametrize("encoding", ["chunked", "identity", ""])
    def test_needs_a_length(self, rf, encoding):
        assert rejected_body(rf.post("/", headers={"Transfer-Encoding": encoding})) == "length_required"

    def test_may_be_larger_for_a_page(self, rf):
        assert rejected_body(rf.post("/admin/", CONTENT_LENGTH="65537")) == ""
