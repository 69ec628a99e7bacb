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
from tests.factories import CustomerFactory, make_stock, place_order
from tests.orders.refunds import refund_of

pytestmark = pytest.mark.django_db

HTML = {"Accept": "text/html"}
PRODUCTS = "/api/v1/products/"
ORDERS = "/api/v1/orders/"
BASKET = "/api/v1/quote/?quantity[RED-CHAIR]=2"


@pytest.fixture(autouse=True)
def _stock():
    make_stock()


@pytest.fixture
def browser() -> Client:
    """
    Return Ada's browser, logged in, with CSRF checks.
    """
    client = Client(enforce_csrf_checks=True, headers=HTML)
    client.force_login(CustomerFactory())
    return client


def read(browser: Client, url: str) -> str:
    response = browser.get(url)
    assert response.status_code == 200
    return unescape(response.content.decode())


def hidden_fields(page: str) -> dict[str, str]:
    """
    Return the hidden fields of the last form of a page's content.
    """
    _, _, form = page.partition("</main>")[0].rpartition("<form ")
    return dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', form))


def send(browser: Client, url: str, fields: dict[str, str]):
    return browser.post(url, urlencode(fields), content_type="application/x-www-form-urlencoded")


def place(browser: Client, **details: str):
    fields = hidden_fields(read(browser, BASKET))
    return send(browser, ORDERS, fields | {"payment_method": "tok_visa", "email": "", "note": ""} | details)


def next_url(response: HttpResponse, label: str) -> str:
    """
    Return the URL of the link with this label on an error page.
    """
    assert response.status_code >= 400
    return re.search(rf'href="([^"]+)">{label}<', unescape(response.content.decode()))[1]


def personal_data_in_urls(page: str) -> list[str]:
    """
    Return the URLs of a page, and the hidden fields of its GET forms, that contain contact details.
    """
    urls = re.findall(r'(?:href|src|action|formaction)="([^"]+)"', page)
    forms = re.findall(r'<form method="get".*?</form>', page, re.DOTALL)
    hidden = [field for form in forms for field in re.findall(r'<input type="hidden"[^>]*>', form)]
    return [text for text in [*urls, *hidden] if re.search(r"email|phone|note|ada|Ring|4411", unquote(text))]


def form_values(page: str) -> dict[str, str]:
    """
    Return the values in a checkout form.
    """
    patterns = {
        "payment_method": r'name="payment_method" value="([^"]*)" checked',
        "email": r'name="email"[^>]* value="([^"]*)"',
        "phone": r'name="phone"[^>]* value="([^"]*)"',
        "note": r"<textarea[^>]*>\n([^<]*)</textarea>",
    }
    return {name: "".join(re.findall(pattern, page)) for name, pattern in patterns.items()}


class TestProducts:
    def test_shows_prices_and_quantity_fields_of_products_that_are_not_sold_out(self, browser, drain):
        sold_out = read(browser, PRODUCTS)
        drain()
        page = read(browser, PRODUCTS)

        assert "Sold out" in sold_out
        assert "quantity[RED-CHAIR]" not in sold_out
        assert "£45.00" in page
        assert 'name="quantity[RED-CHAIR]" value=""' in page

    def test_shows_one_product_with_its_picture_and_how_many_are_left(self, browser, drain):
        drain()
        Product.objects.update(picture="/static/orders/pictures/red-chair.svg", few_left=3)

        page = read(browser, f"{PRODUCTS}RED-CHAIR/?quantity[OAK-TABLE]=2")

        assert '<img src="/static/orders/pictures/red-chair.svg" alt="Picture of Red chair"' in page
        assert "Only 3 left" in page
        assert '<input type="hidden" name="quantity[OAK-TABLE]" value="2">' in page
        assert f"{PRODUCTS}?quantity%5BOAK-TABLE%5D=2" in page

    def test_keeps_the_basket_during_a_search(self, browser, drain):
        make_stock(sku="OAK-TABLE")
        drain()

        page = read(browser, f"{PRODUCTS}?search=chair&quantity[RED-CHAIR]=2&quantity[OAK-TABLE]=1&quantity[%00]=3")

        assert 'name="quantity[RED-CHAIR]" value="2"' in page
        assert 'name="quantity[OAK-TABLE]" value="1"' in page
        assert "Oak table<small>OAK-TABLE</small>" in page

    @pytest.mark.parametrize(("basket", "offered"), [("", False), ("&quantity[RED-CHAIR]=2", True)])
    def test_offers_the_review_without_results_only_for_a_basket(self, browser, basket, offered):
        page = read(browser, f"{PRODUCTS}?search=unicorn{basket}")

        assert "No product matches." in page
        assert ("Review your order" in page) == offered

    def test_keeps_the_basket_on_the_next_page(self, browser):
        for number in range(51):
            make_stock(sku=f"CHAIR-{number:02}")

        first = read(browser, PRODUCTS)
        cursor = re.search(r'name="cursor" value="([^"]+)"', first)[1]
        second = read(browser, f"{PRODUCTS}?cursor={cursor}&quantity[CHAIR-07]=4")

        assert ("CHAIR-49" in first, "CHAIR-50" in first) == (True, False)
        assert ("CHAIR-49" in second, "CHAIR-50" in second) == (False, True)
        assert 'name="quantity[CHAIR-07]" value="4"' in second


class TestQuote:
    def test_shows_the_total_and_links_back_to_the_basket(self, browser):
        page = read(browser, BASKET)

        assert "£90.00" in page
        assert f"{PRODUCTS}?quantity%5BRED-CHAIR%5D=2" in page

    def test_warns_that_an_order_of_more_than_is_left_would_be_cancelled(self, browser):
        Product.objects.update(sold_out=False, few_left=1)

        page = read(browser, BASKET)

        assert "this one would be cancelled, and nothing would be charged" in page
        assert "<li>Red chair: only 1 left</li>" in page

    def test_has_hidden_fields_with_the_total_and_a_new_key(self, browser):
        first, second = (hidden_fields(read(browser, BASKET)) for _ in range(2))

        assert first["idempotency_key"] != second["idempotency_key"]
        del first["idempotency_key"], first["csrfmiddlewaretoken"]
        assert first == {"expected_total": "9000", "currency": "GBP", "quantity[RED-CHAIR]": "2"}

    def test_asks_a_visitor_to_log_in_and_continues_there(self):
        visitor = Client(headers=HTML)

        response = visitor.get(BASKET)

        assert response.status_code == 401
        assert f'name="next" value="{BASKET}"' in unescape(response.content.decode())

    def test_names_an_unknown_sku_and_links_back_to_the_basket(self, browser):
        response = browser.get("/api/v1/quote/?quantity[UNICORN]=1&quantity[RED-CHAIR]=2&search=red")

        page = unescape(response.content.decode())
        assert response.status_code == 400
        assert "No product has the sku 'UNICORN'." in page
        assert f'href="{PRODUCTS}?quantity%5BUNICORN%5D=1&quantity%5BRED-CHAIR%5D=2">Change your order' in page


class TestOrder:
    def test_is_placed_followed_and_confirmed(self, browser, drain):
        response = place(browser)
        url = response.headers["Location"].removeprefix("http://testserver")

        before = read(browser, url)
        drain()
        after = read(browser, url)

        assert response.status_code == 303
        assert 'data-follow="W/"placed-0-0"">We have your order</h1>' in before
        assert 'http-equiv="refresh"' in before
        assert f'<dt>Order number</dt><dd><code class="whole">{Order.objects.get().number}</code></dd>' in before
        assert "<h1>Your order is confirmed</h1>" in after
        assert 'http-equiv="refresh"' not in after
        assert "Cancel this order" not in after

    def test_can_be_cancelled_on_its_page(self, browser):
        order = place_order()
        url = f"{ORDERS}{order.pk}/"
        token = hidden_fields(read(browser, url))

        response = send(browser, f"{url}cancel/", token)

        assert (response.status_code, response.headers["Location"]) == (303, f"http://testserver{url}")
        assert "<h1>Your order is cancelled</h1>" in read(browser, url)

    def test_has_a_page_without_caching_because_of_its_form_tokens(self, browser):
        response = browser.get(f"{ORDERS}{place_order().pk}/")

        assert response.headers["Cache-Control"] == "no-store"
        assert "ETag" not in response.headers

    def test_shows_when_the_payment_is_due(self, browser, settings):
        settings.ORDERS = replace(settings.ORDERS, payment_due_seconds=7_200)
        order = place_order()
        services.request_payments([str(order.pk)], now=datetime(2030, 6, 1, 23, 15, tzinfo=UTC))

        page = read(browser, f"{ORDERS}{order.pk}/")

        assert 'until <time datetime="2030-06-02T01:15:00+00:00">2 June 2030, 01:15 UTC</time>.' in page

    def test_lists_every_refund_of_its_total_and_of_surplus_money(self, browser, drain):
        order = place_order()
        drain()
        refunds = [
            refund_of(order.pk, 1_000, cause="operator"),
            refund_of(order.pk, 5_200, currency="EUR", surplus=True, cause="wrong_amount"),
        ]

        services.record_refunds(refunds, now=datetime(2030, 6, 1, 23, 15, tzinfo=UTC))

        page = " ".join(read(browser, f"{ORDERS}{order.pk}/").split())
        assert "£10.00 was refunded." in page
        assert re.findall(
            r'<th scope="row">([^<]*)</th> <td><time[^>]*>([^<]*)</time></td> <td[^>]*>([^<]*)', page
        ) == [
            ("The shop gave it back", "1 June 2030, 23:15 UTC", "£10.00"),
            ("The payment was not the amount of the order", "1 June 2030, 23:15 UTC", "€52.00"),
        ]

    def test_shows_why_the_shop_refunded_in_its_own_words_only(self, browser, drain):
        order = place_order()
        drain()
        refunds = [
            refund_of(order.pk, 1_000, cause="operator", reason="A <b>scratch</b>."),
            refund_of(order.pk, 100, surplus=True, cause="double", reason="a second capture"),
        ]

        services.record_refunds(refunds, now=datetime(2030, 6, 1, 23, 15, tzinfo=UTC))

        page = browser.get(f"{ORDERS}{order.pk}/").content.decode()
        assert "The shop gave it back<small>A &lt;b&gt;scratch&lt;/b&gt;.</small>" in page
        assert "a second capture" not in page

    def test_is_listed_with_its_lines_and_total(self, browser):
        order = place_order({"RED-CHAIR": 2})

        page = read(browser, ORDERS)

        assert f"{ORDERS}{order.pk}/" in page
        assert f'<code class="whole">{order.number}</code>' in page
        assert "2 × Red chair" in page
        assert "£90.00" in page

    def test_is_rejected_after_a_price_change_with_an_explanation(self, browser):
        fields = hidden_fields(read(browser, BASKET)) | {"payment_method": "tok_visa"}
        Product.objects.update(price=9_900)

        response = send(browser, ORDERS, fields)

        explanation, _, technical_details = response.content.decode().partition("<details")
        assert response.status_code == 409
        assert "A price has changed since you looked." in explanation
        assert [text for text in ("price_changed", "#/expected_total", "9900") if text in explanation] == []
        assert "<code>#/expected_total</code>: price_changed" in technical_details
        assert not Order.objects.exists()

    def test_keeps_the_details_for_a_new_review_but_puts_none_in_a_url(self, browser):
        details = {
            "payment_method": "tok_pending",
            "email": "ada@example.org",
            "phone": "+441134960000",
            "note": "A & B",
        }
        fields = hidden_fields(read(browser, BASKET)) | details
        Product.objects.update(price=9_900)

        response = send(browser, ORDERS, fields)
        review_url = next_url(response, "Review your order again")
        page = read(browser, review_url)

        assert review_url == "/api/v1/quote/?quantity%5BRED-CHAIR%5D=2"
        assert form_values(page) == details
        assert hidden_fields(page)["expected_total"] == "19800"
        assert personal_data_in_urls(unescape(response.content.decode()) + page) == []

    def test_keeps_the_details_while_the_basket_changes(self, browser):
        fields = hidden_fields(read(browser, BASKET)) | {"payment_method": "tok_declined", "note": "Ring twice"}
        Product.objects.update(active=False)

        review_url = next_url(send(browser, ORDERS, fields), "Review your order again")
        products = read(browser, next_url(browser.get(review_url), "Change your order"))
        Product.objects.update(active=True)

        assert 'name="quantity[RED-CHAIR]" value="2"' in products
        assert personal_data_in_urls(products) == []
        details = {"payment_method": "tok_declined", "email": "", "phone": "", "note": "Ring twice"}
        assert form_values(read(browser, BASKET)) == details

    def test_discards_the_details_once_it_is_placed(self, browser):
        place(browser, note="Ring twice")

        assert form_values(read(browser, BASKET))["note"] == ""

    @pytest.mark.parametrize("parameter", ["email", "phone", "note", "payment_method"])
    def test_rejects_details_in_a_url(self, browser, parameter):
        assert browser.get(f"{BASKET}&{parameter}=x").status_code == 400


class TestPaymentMethods:
    @pytest.mark.parametrize("adapter", ["instant.InstantGateway", "simulated.SimulatedGateway"])
    def test_of_a_simulated_gateway_are_the_test_tokens(self, browser, settings, adapter):
        settings.PAYMENTS = replace(settings.PAYMENTS, gateway=f"payments.gateway.adapters.{adapter}")

        page = read(browser, BASKET)

        assert "Payments are simulated: no money moves." in page
        tokens = ["tok_visa", "tok_timeout", "tok_declined", "tok_pending"]
        assert re.findall(r'name="payment_method" value="([^"]*)"', page) == tokens

    def test_of_stripe_are_entered_as_an_id(self, browser, settings):
        settings.PAYMENTS = replace(
            settings.PAYMENTS, gateway="payments.gateway.adapters.stripe.StripeGateway", stripe_api_key="sk_test_x"
        )

        page = read(browser, BASKET)

        assert "Payments are taken by Stripe." in page
        assert "simulated" not in page
        assert "tok_" not in page
        assert re.findall(r'name="payment_method" value="([^"]*)" required', page) == [""]
