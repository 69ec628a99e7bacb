import pytest

from tests.browser.shopfront import LOGIN

pytestmark = pytest.mark.browser

each_way = pytest.mark.parametrize("javascript", [True, False], ids=["with JavaScript", "without"])


def order(visitor, *, payment: str) -> None:
    """
    Put a bread board and two red chairs into the basket, by two searches, and order them.
    """
    visitor.open("/api/v1/products/")
    for words, product, quantity in [("bread board", "Bread board", "1"), ("red chair", "Red chair", "2")]:
        visitor.fill("Search by name or number", words)
        visitor.press("Search")
        visitor.fill(f"How many of {product}", quantity)
    visitor.press("Review your order")
    visitor.choose(payment)
    visitor.press("Place this order")


class TestStranger:
    @each_way
    def test_finds_a_product_from_the_front_door_and_logs_in_on_the_way_to_the_order(self, visit, javascript):
        visitor = visit(javascript=javascript)

        visitor.open("/")
        visitor.press("See the products")
        visitor.fill("Search by name or number", "wall clock")
        visitor.press("Search")
        visitor.fill("How many of Wall clock", "3")
        visitor.press("Review your order")
        asked = visitor.headline
        visitor.fill("Name", LOGIN["name"])
        visitor.fill("Password", LOGIN["password"])
        visitor.press("Log in")

        assert (asked, visitor.headline) == ("Please log in", "Your order")
        assert "Wall clock" in visitor.text
        assert "89.70 GBP" in visitor.text

    def test_is_told_that_the_password_is_wrong(self, visit):
        visitor = visit()

        visitor.log_in(name="ada", password="ada-counts-tables")

        assert visitor.headline == "Log in"
        assert "Please enter a correct username and password" in visitor.text


class TestCustomer:
    @each_way
    def test_orders_and_watches_the_order_become_confirmed_without_touching_anything(self, ada, javascript):
        visitor = ada(javascript=javascript)

        order(visitor, payment="A card whose bank is slow to answer, and approves it")

        assert "108.50 GBP" in visitor.text
        visitor.watch_until("Your order is confirmed")
        assert "Payment received, order confirmed" in visitor.text
        assert not visitor.offers("Cancel this order")

    @each_way
    def test_cancels_an_order_that_is_not_paid_yet(self, ada, javascript):
        visitor = ada(javascript=javascript)
        order(visitor, payment="A bank transfer, which leaves you time to pay, or to cancel")
        visitor.watch_until("Your order awaits its payment")

        visitor.press("Cancel this order")

        assert visitor.headline == "Your order is cancelled"
        assert "As you wished." in visitor.text
        visitor.press("All your orders")
        _, _, _, goods, _, state, *_ = visitor.text.splitlines()
        assert (goods, state) == ("2 × Red chair, 1 × Bread board", "Cancelled 108.50 GBP")

    @each_way
    def test_pays_at_the_bank_and_sees_the_order_confirmed(self, ada, javascript):
        visitor = ada(javascript=javascript)
        order(visitor, payment="A bank transfer, which leaves you time to pay, or to cancel")
        visitor.watch_until("Your order awaits its payment")
        its_page = visitor.address

        visitor.press("Its payment")
        visitor.press("Pay at the bank")
        visitor.press("Approve")
        visitor.open(its_page)

        visitor.watch_until("Your order is confirmed")

    def test_pays_when_the_order_is_over_and_gets_the_money_back(self, ada):
        visitor = ada()
        order(visitor, payment="A bank transfer, which leaves you time to pay, or to cancel")
        visitor.watch_until("Your order awaits its payment")
        its_page = visitor.address
        visitor.press("Its payment")
        visitor.press("Pay at the bank")
        at_the_bank = visitor.address
        visitor.open(its_page)
        visitor.press("Cancel this order")

        visitor.open(at_the_bank)
        visitor.watch_for("cancelled")
        visitor.press("Pay late")
        visitor.open(its_page)

        visitor.look_again_until("108.50 GBP went back to you.")

    def test_is_told_that_the_card_was_declined(self, ada):
        visitor = ada()

        order(visitor, payment="A card that is declined")

        visitor.watch_until("Your order is cancelled")
        assert "Its payment did not succeed." in visitor.text

    def test_keeps_the_basket_on_the_way_back_from_the_order(self, ada):
        visitor = ada()
        visitor.open("/api/v1/quote/?quantity[RED-CHAIR]=2&quantity[DOOR-MAT]=1")

        visitor.press("Change your order")
        visitor.fill("Search by name or number", "door mat")
        visitor.press("Search")
        visitor.fill("How many of Door mat", "3")
        visitor.press("Review your order")

        assert "126.00 GBP" in visitor.text

    def test_is_led_back_from_an_order_that_cannot_be_taken(self, ada):
        visitor = ada()
        visitor.open("/api/v1/products/?search=red+chair")
        visitor.fill("How many of Red chair", "100000")
        visitor.press("Review your order")
        refused = visitor.headline

        visitor.press("Change your order")

        assert (refused, visitor.headline) == ("More than one order may have", "Products")

    def test_leaves(self, ada):
        visitor = ada()

        visitor.press("Log out")
        visitor.open("/api/v1/orders/")

        assert visitor.headline == "Please log in"


class TestProgrammer:
    def test_makes_a_token_on_its_page_and_revokes_it(self, ada):
        visitor = ada()
        visitor.open("/api/v1/tokens/")
        visitor.fill("JSON", '{"username": "ada", "password": "ada-counts-chairs", "name": "my kettle"}')

        visitor.push("POST")
        visitor.watch_for("HTTP 201 Created")
        visitor.open("/api/v1/tokens/")
        with_it = visitor.text
        visitor.press("Delete my kettle")

        assert ("my kettle" in with_it, "my kettle" in visitor.text) == (True, False)
