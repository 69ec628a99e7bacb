import re
from dataclasses import replace
from datetime import UTC, datetime
from html import unescape
from urllib.parse import unquote, urlencode

import pytest
from django.http import HttpResponse
from django.test import Client

from orders import services
from orders.models import Order, Product
from tests.factories import make_customer, make_product, make_stock, place_order

pytestmark = pytest.mark.django_db

HTML = {"Accept": "text/html"}
PRODUCTS = "/api/v1/products/"
ORDERS = "/api/v1/orders/"
BASKET = "/api/v1/quote/?quantity[RED-CHAIR]=2"


@pytest.fixture
def browser() -> Client:
    """
    Return Ada's browser, logged in, with CSRF checks.
    """
    client = Client(enforce_csrf_checks=True, headers=HTML)
    client.force_login(make_customer())
    return client


def read(browser: Client, address: str) -> str:
    answer = browser.get(address)
    assert answer.status_code == 200
    return unescape(answer.content.decode())


def hidden_fields(page: str) -> dict[str, str]:
    """
    Return the hidden fields of a page's last form.
    """
    _, _, form = page.rpartition("<form ")
    return dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', form))


def send(browser: Client, address: str, fields: dict[str, str]):
    return browser.post(address, urlencode(fields), content_type="application/x-www-form-urlencoded")


def place(browser: Client, **details: str):
    fields = hidden_fields(read(browser, BASKET))
    return send(browser, ORDERS, fields | {"payment_method": "tok_visa", "email": "", "note": ""} | details)


def next_url(refusal: HttpResponse, label: str) -> str:
    """
    Return the URL of the link with this label on an error page.
    """
    assert refusal.status_code >= 400
    return re.search(rf'href="([^"]+)">{label}<', unescape(refusal.content.decode()))[1]


def personal_data_in_urls(page: str) -> list[str]:
    """
    Return the URLs of a page, and the hidden fields of its GET forms, that contain contact details.
    """
    urls = re.findall(r'(?:href|src|action|formaction)="([^"]+)"', page)
    forms = re.findall(r'<form method="get".*?</form>', page, re.DOTALL)
    carried = [field for form in forms for field in re.findall(r'<input type="hidden"[^>]*>', form)]
    return [text for text in [*urls, *carried] if re.search(r"email|phone|note|ada|Ring|4411", unquote(text))]


def typed(page: str) -> dict[str, str]:
    """
    Return what a checkout form is filled in with.
    """
    patterns = {
        "payment_method": r'name="payment_method" value="([^"]*)" checked',
        "email": r'name="email"[^>]* value="([^"]*)"',
        "phone": r'name="phone"[^>]* value="([^"]*)"',
        "note": r"<textarea[^>]*>\n([^<]*)</textarea>",
    }
    return {name: "".join(re.findall(pattern, page)) for name, pattern in patterns.items()}


class TestProducts:
    def test_show_their_prices_and_ask_how_many(self, browser, drain):
        make_stock(sku="RED-CHAIR", price=4_500)
        drain()

        page = read(browser, PRODUCTS)

        assert "45.00 GBP" in page
        assert 'name="quantity[RED-CHAIR]" value=""' in page

    def test_do_not_ask_for_what_is_sold_out(self, browser):
        make_product(sku="RED-CHAIR", sold_out=True)

        page = read(browser, PRODUCTS)

        assert "Sold out" in page
        assert "quantity[RED-CHAIR]" not in page

    def test_keep_the_basket_while_the_customer_looks_around(self, browser, drain):
        for sku in ("RED-CHAIR", "OAK-TABLE"):
            make_stock(sku=sku)
        drain()

        page = read(browser, f"{PRODUCTS}?search=chair&quantity[RED-CHAIR]=2&quantity[OAK-TABLE]=1&quantity[%00]=3")

        assert 'name="quantity[RED-CHAIR]" value="2"' in page
        assert 'name="quantity[OAK-TABLE]" value="1"' in page
        assert "Oak table<small>OAK-TABLE</small>" in page

    @pytest.mark.parametrize(("basket", "offered"), [("", False), ("&quantity[RED-CHAIR]=2", True)])
    def test_that_are_not_found_leave_only_the_basket_to_review(self, browser, basket, offered):
        page = read(browser, f"{PRODUCTS}?search=unicorn{basket}")

        assert "No product matches." in page
        assert ("Review your order" in page) == offered

    def test_take_the_basket_along_to_the_next_of_them(self, browser):
        for at in range(51):
            make_stock(sku=f"CHAIR-{at:02}")

        first = read(browser, PRODUCTS)
        cursor = re.search(r'name="cursor" value="([^"]+)"', first)[1]
        second = read(browser, f"{PRODUCTS}?cursor={cursor}&quantity[CHAIR-07]=4")

        assert ("CHAIR-49" in first, "CHAIR-50" in first) == (True, False)
        assert ("CHAIR-49" in second, "CHAIR-50" in second) == (False, True)
        assert 'name="quantity[CHAIR-07]" value="4"' in second


class TestQuote:
    @pytest.fixture(autouse=True)
    def _stock(self):
        make_stock(sku="RED-CHAIR", price=4_500)

    def test_shows_what_the_basket_costs_and_leads_back_to_it(self, browser):
        page = read(browser, BASKET)

        assert "90.00 GBP" in page
        assert f"{PRODUCTS}?quantity%5BRED-CHAIR%5D=2" in page

    def test_carries_along_what_the_customer_saw_under_a_key_of_its_own(self, browser):
        once, again = (hidden_fields(read(browser, BASKET)) for _ in range(2))

        assert once["idempotency_key"] != again["idempotency_key"]
        del once["idempotency_key"], once["csrfmiddlewaretoken"]
        assert once == {"expected_total": "9000", "currency": "GBP", "quantity[RED-CHAIR]": "2"}

    def test_asks_who_is_there_and_goes_on(self):
        visitor = Client(headers=HTML)

        answer = visitor.get(BASKET)

        assert answer.status_code == 401
        assert f'name="next" value="{BASKET}"' in unescape(answer.content.decode())

    def test_says_what_cannot_be_had_and_leads_back_to_the_basket(self, browser):
        answer = browser.get("/api/v1/quote/?quantity[UNICORN]=1&quantity[RED-CHAIR]=2&search=red")

        page = unescape(answer.content.decode())
        assert answer.status_code == 400
        assert "No product has the sku 'UNICORN'." in page
        assert f'href="{PRODUCTS}?quantity%5BUNICORN%5D=1&quantity%5BRED-CHAIR%5D=2">Change your order' in page


class TestOrder:
    @pytest.fixture(autouse=True)
    def _stock(self):
        make_stock(sku="RED-CHAIR", price=4_500)

    def test_is_placed_watched_and_confirmed(self, browser, drain):
        placed = place(browser)
        address = placed.headers["Location"].removeprefix("http://testserver")

        before = read(browser, address)
        drain()
        after = read(browser, address)

        assert placed.status_code == 303
        assert 'data-follow="W/"placed-0"">We have your order</h1>' in before
        assert 'http-equiv="refresh"' in before
        assert "<h1>Your order is confirmed</h1>" in after
        assert 'http-equiv="refresh"' not in after
        assert "Cancel this order" not in after

    def test_is_cancelled_by_its_page(self, browser):
        order = place_order()
        address = f"{ORDERS}{order.pk}/"
        token = hidden_fields(read(browser, address))

        answer = send(browser, f"{address}cancel/", token)

        assert (answer.status_code, answer.headers["Location"]) == (303, f"http://testserver{address}")
        assert "<h1>Your order is cancelled</h1>" in read(browser, address)

    def test_has_a_page_that_no_cache_keeps_for_its_forms_have_tokens(self, browser):
        answer = browser.get(f"{ORDERS}{place_order().pk}/")

        assert answer.headers["Cache-Control"] == "no-store"
        assert "ETag" not in answer.headers

    def test_says_until_when_its_goods_wait_for_the_payment(self, browser, settings):
        settings.ORDERS = replace(settings.ORDERS, payment_due_seconds=7_200)
        order = place_order()
        services.request_payments([str(order.pk)], now=datetime(2030, 6, 1, 23, 15, tzinfo=UTC))

        page = read(browser, f"{ORDERS}{order.pk}/")

        assert 'until <time datetime="2030-06-02T01:15:00+00:00">2 June 2030, 01:15 UTC</time>.' in page

    def test_is_on_the_list(self, browser):
        order = place_order({"RED-CHAIR": 2})

        page = read(browser, ORDERS)

        assert f"{ORDERS}{order.pk}/" in page
        assert "2 × Red chair" in page
        assert "90.00 GBP" in page

    @pytest.mark.parametrize("forgery", [{"csrfmiddlewaretoken": ""}, {"csrfmiddlewaretoken": "x" * 64}])
    def test_is_not_placed_by_a_form_that_is_none_of_ours(self, browser, forgery):
        answer = place(browser, **forgery)

        assert answer.status_code == 403
        assert "csrf_failed" in answer.content.decode()
        assert not Order.objects.exists()

    def test_costs_what_the_customer_saw_or_is_not_placed(self, browser):
        fields = hidden_fields(read(browser, BASKET)) | {"payment_method": "tok_visa"}
        Product.objects.update(price=9_900)

        answer = send(browser, ORDERS, fields)

        said, _, technically = answer.content.decode().partition("<details")
        assert answer.status_code == 409
        assert "A price has changed since you looked." in said
        assert ("price_changed" in said, "#/expected_total" in said, "9900" in said) == (False, False, False)
        assert "<code>#/expected_total</code>: price_changed" in technically
        assert not Order.objects.exists()

    def test_is_reviewed_again_with_the_customers_details_but_without_them_in_any_url(self, browser):
        details = {
            "payment_method": "tok_pending",
            "email": "ada@example.org",
            "phone": "+441134960000",
            "note": "A & B",
        }
        fields = hidden_fields(read(browser, BASKET)) | details
        Product.objects.update(price=9_900)

        refusal = send(browser, ORDERS, fields)
        again = next_url(refusal, "Review your order again")
        page = read(browser, again)

        assert again == "/api/v1/quote/?quantity%5BRED-CHAIR%5D=2"
        assert typed(page) == details
        assert hidden_fields(page)["expected_total"] == "19800"
        assert personal_data_in_urls(unescape(refusal.content.decode()) + page) == []

    def test_keeps_the_customers_details_while_the_basket_changes(self, browser):
        fields = hidden_fields(read(browser, BASKET)) | {"payment_method": "tok_declined", "note": "Ring twice"}
        Product.objects.update(active=False)

        again = next_url(send(browser, ORDERS, fields), "Review your order again")
        products = read(browser, next_url(browser.get(again), "Change your order"))
        Product.objects.update(active=True)

        assert 'name="quantity[RED-CHAIR]" value="2"' in products
        assert personal_data_in_urls(products) == []
        assert typed(read(browser, BASKET)) == {
            "payment_method": "tok_declined",
            "email": "",
            "phone": "",
            "note": "Ring twice",
        }

    def test_forgets_the_customers_details_once_it_is_placed(self, browser):
        place(browser, note="Ring twice")

        assert typed(read(browser, BASKET))["note"] == ""

    @pytest.mark.parametrize("parameter", ["email", "phone", "note", "payment_method"])
    def test_takes_no_details_from_a_url(self, browser, parameter):
        assert browser.get(f"{BASKET}&{parameter}=x").status_code == 400


class TestPaymentMethods:
    @pytest.fixture(autouse=True)
    def _stock(self):
        make_stock(sku="RED-CHAIR")

    @pytest.mark.parametrize("adapter", ["instant.InstantGateway", "simulated.SimulatedGateway"])
    def test_of_a_simulated_gateway_say_how_each_payment_ends(self, browser, settings, adapter):
        settings.PAYMENTS = replace(settings.PAYMENTS, gateway=f"payments.gateway.adapters.{adapter}")

        page = read(browser, BASKET)

        assert "Payments are simulated: no money moves." in page
        assert re.findall(r'name="payment_method" value="([^"]*)"', page) == [
            "tok_visa",
            "tok_timeout",
            "tok_declined",
            "tok_pending",
        ]

    def test_of_stripe_are_entered_by_their_id(self, browser, settings):
        settings.PAYMENTS = replace(
            settings.PAYMENTS, gateway="payments.gateway.adapters.stripe.StripeGateway", stripe_api_key="sk_test_x"
        )

        page = read(browser, BASKET)

        assert "Payments are taken by Stripe." in page
        assert ("simulated" in page, "tok_" in page) == (False, False)
        assert re.findall(r'name="payment_method" value="([^"]*)" required', page) == [""]
