"""
A customer who speaks German, by API and in a browser, from the first error to the confirmation.
"""

from html import unescape
from urllib.parse import urlencode

import pytest

from orders.models import Order
from tests.factories import make_stock
from tests.journeys.orders import CONFIRMED, history_of

pytestmark = pytest.mark.django_db

AUSTRIAN = {"Accept-Language": "de-AT,de;q=0.9"}
ORDERS = "/api/v1/orders/"
ORDER = {"lines": [{"sku": "RED-CHAIR", "quantity": 2}], "payment_method": "tok_visa", "expected_total": 9_000}
NO_CHAIR = {"lines": [{"sku": "RED-CHAIR", "quantity": 0}]}


@pytest.fixture(autouse=True)
def _stock(drain):
    make_stock()
    drain()


def post(api, body: dict, key: str = "basket-1"):
    return api.post(ORDERS, body, format="json", headers={"Idempotency-Key": key, **AUSTRIAN})


def test_an_order_by_the_api(api, drain):
    in_english = api.post(ORDERS, ORDER | NO_CHAIR, format="json", headers={"Idempotency-Key": "basket-1"})
    rejected = post(api, ORDER | NO_CHAIR | {"phone": "030 123456"})
    unknown = post(api, ORDER | {"lines": [{"sku": "UNICORN", "quantity": 1}]})
    placed = post(api, ORDER)
    repeated = api.post(ORDERS, ORDER, format="json", headers={"Idempotency-Key": "basket-1", "Accept-Language": "en"})
    drain()

    assert in_english.json()["detail"] == "quantity: Ensure this value is greater than or equal to 1."
    assert (rejected.status_code, rejected.json()["title"]) == (400, "Ungültige Menge")
    assert {fault["pointer"]: (fault["code"], fault["detail"]) for fault in rejected.json()["errors"]} == {
        "#/lines/0/quantity": (
            "invalid_quantity",
            "quantity: Der Wert muss mindestens 1 sein.",
        ),
        "#/phone": (
            "invalid_phone",
            "phone: Verwenden Sie das Format E.164 ohne Leerzeichen, zum Beispiel +4930123456.",
        ),
    }
    assert unknown.json()["detail"] == "Kein Produkt hat die Artikelnummer 'UNICORN'."
    assert placed.content == repeated.content
    assert Order.objects.get().language == "de"
    assert history_of(api, f"{ORDERS}{Order.objects.get().pk}/") == CONFIRMED


def test_an_order_in_a_browser(browser, drain):
    def read(url: str) -> str:
        return unescape(browser.get(url, headers=AUSTRIAN).content.decode()).replace("\xa0", " ")

    products = read("/api/v1/products/")
    quote = read("/api/v1/quote/?quantity[RED-CHAIR]=2")
    form = {
        "quantity[RED-CHAIR]": "2",
        "expected_total": "9000",
        "payment_method": "tok_visa",
        "idempotency_key": "basket-1",
    }
    placed = browser.post(ORDERS, urlencode(form), "application/x-www-form-urlencoded", headers=AUSTRIAN)
    url = placed.headers["Location"].removeprefix("http://testserver")
    before = read(url)
    drain()
    after = read(url)

    assert "45,00 £" in products
    assert "Bestellung prüfen</button>" in products
    assert "90,00 £" in quote
    assert "Zahlungspflichtig bestellen</button>" in quote
    assert "<h1 data-follow" in before
    assert "Ihre Bestellung ist bei uns</h1>" in before
    assert "<h1>Ihre Bestellung ist bestätigt</h1>" in after
    assert Order.objects.get().language == "de"
