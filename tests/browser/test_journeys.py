import pytest

from tests.browser.demo_shop import LOGIN

pytestmark = pytest.mark.browser

each_way = pytest.mark.parametrize("javascript", [True, False], ids=["with JavaScript", "without"])


def order(browser, *, payment: str) -> None:
    """Find a bread board and two red chairs by two searches, and order them."""
    browser.open("/api/v1/products/")
    for words, product, quantity in [("bread board", "Bread board", "1"), ("red chair", "Red chair", "2")]:
        browser.fill("Search by name or number", words)
        browser.press("Search")
        browser.fill(f"Quantity of {product}", quantity)
    browser.press("Review your order")
    browser.choose(payment)
    browser.press("Place this order")


class TestAnonymousCustomer:
    @each_way
    def test_finds_a_product_from_the_landing_page_and_logs_in_before_the_order(self, visit, javascript):
        browser = visit(javascript=javascript)

        browser.open("/")
        browser.press("See the products")
        browser.fill("Search by name or number", "wall clock")
        browser.press("Search")
        browser.fill("Quantity of Wall clock", "3")
        browser.press("Review your order")
        login = browser.headline
        browser.fill("Name", LOGIN["name"])
        browser.fill("Password", LOGIN["password"])
        browser.press("Log in")

        assert (login, browser.headline) == ("Please log in", "Your order")
        assert "Wall clock" in browser.text
        assert "£89.70" in browser.text

    def test_sees_that_the_password_is_wrong(self, visit):
        browser = visit()

        browser.log_in(name="ada", password="ada-counts-tables")

        assert browser.headline == "Log in"
        assert "Please enter a correct username and password" in browser.text


class TestCustomer:
    @each_way
    def test_orders_and_sees_the_confirmation_without_reloading(self, logged_in, javascript):
        browser = logged_in(javascript=javascript)

        order(browser, payment="A card whose bank is slow to answer, and approves it")

        assert "£108.50" in browser.text
        browser.wait_for_headline("Your order is confirmed")
        assert "Payment received, order confirmed" in browser.text
        assert not browser.offers("Cancel this order")

    @each_way
    def test_cancels_an_order_that_is_not_paid_yet(self, logged_in, javascript):
        browser = logged_in(javascript=javascript)
        order(browser, payment="A bank transfer, which leaves you time to pay, or to cancel")
        browser.wait_for_headline("Your order awaits its payment")

        browser.press("Cancel this order")

        assert browser.headline == "Your order is cancelled"
        assert "You cancelled it." in browser.text
        browser.press("All your orders")
        _, _, _, goods, _, state, *_ = browser.text.splitlines()
        assert (goods, state) == ("2 × Red chair, 1 × Bread board", "Cancelled £108.50")

    @each_way
    def test_pays_at_the_bank_and_sees_the_order_confirmed(self, logged_in, javascript):
        browser = logged_in(javascript=javascript)
        order(browser, payment="A bank transfer, which leaves you time to pay, or to cancel")
        browser.wait_for_headline("Your order awaits its payment")
        its_page = browser.address

        browser.press("See the payment")
        browser.press("Pay at the bank")
        browser.press("Approve")
        browser.open(its_page)

        browser.wait_for_headline("Your order is confirmed")

    def test_pays_when_the_order_is_over_and_gets_the_money_back(self, logged_in):
        browser = logged_in()
        order(browser, payment="A bank transfer, which leaves you time to pay, or to cancel")
        browser.wait_for_headline("Your order awaits its payment")
        its_page = browser.address
        browser.press("See the payment")
        browser.press("Pay at the bank")
        at_the_bank = browser.address
        browser.open(its_page)
        browser.press("Cancel this order")

        browser.open(at_the_bank)
        browser.wait_for_text("cancelled")
        browser.press("Pay late")
        browser.open(its_page)

        browser.reload_until("£108.50 was refunded.")

    def test_sees_that_the_card_was_declined(self, logged_in):
        browser = logged_in()

        order(browser, payment="A card that is declined")

        browser.wait_for_headline("Your order is cancelled")
        assert "Its payment did not succeed." in browser.text

    def test_keeps_the_basket_on_the_way_back_from_the_order(self, logged_in):
        browser = logged_in()
        browser.open("/api/v1/quote/?quantity[RED-CHAIR]=2&quantity[DOOR-MAT]=1")

        browser.press("Change your order")
        browser.fill("Search by name or number", "door mat")
        browser.press("Search")
        browser.fill("Quantity of Door mat", "3")
        browser.press("Review your order")

        assert "£126.00" in browser.text

    def test_returns_from_an_order_that_is_refused(self, logged_in):
        browser = logged_in()
        browser.open("/api/v1/products/?search=red+chair")
        browser.fill("Quantity of Red chair", "100000")
        browser.press("Review your order")
        refused = browser.headline

        browser.press("Change your order")

        assert (refused, browser.headline) == ("Quantity too large", "Products")

    def test_logs_out(self, logged_in):
        browser = logged_in()

        browser.press("Log out")
        browser.open("/api/v1/orders/")

        assert browser.headline == "Please log in"


class TestProgrammer:
    def test_makes_a_token_on_its_page_and_revokes_it(self, logged_in):
        browser = logged_in()
        browser.open("/api/v1/tokens/")
        browser.fill("JSON", '{"username": "ada", "password": "ada-counts-chairs", "name": "my kettle"}')

        browser.click("POST")
        browser.wait_for_text("HTTP 201 Created")
        browser.open("/api/v1/tokens/")
        with_it = browser.text
        browser.press("Delete my kettle")

        assert ("my kettle" in with_it, "my kettle" in browser.text) == (True, False)
