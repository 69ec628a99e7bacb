"""The page of an order in the admin, as an operator uses it."""

import pytest

from tests.browser.demo_shop import OPERATOR

pytestmark = pytest.mark.browser

ACTIONS = ("note", "refund", "send-again")


@pytest.fixture
def confirmed(logged_in):
    """Open a browser in which Ada has the page of her confirmed order."""
    browser = logged_in()
    browser.open("/api/v1/quote/?quantity[RED-CHAIR]=2")
    browser.press("Place this order")
    browser.wait_for_headline("Your order is confirmed")
    return browser


def open_as_operator(visit, customer, **options: object):
    browser = visit(**options)
    browser.log_in(**OPERATOR)
    browser.open(f"/admin/orders/order/{customer.address.rstrip('/').rpartition('/')[2]}/change/")
    return browser


def test_refunds_half_with_four_interactions_and_the_customer_reads_why(visit, confirmed):
    operator = open_as_operator(visit, confirmed)

    operator.press("Refund")
    operator.fill("Amount:", "45")
    operator.fill("Reason:", "One chair was scratched.")
    operator.press("Refund")

    operator.wait_for_text("Refunded 45.00 GBP.")
    confirmed.reload_until("One chair was scratched.")


@pytest.mark.parametrize(("screen", "dark"), [("desktop", False), ("desktop", True), ("phone", False), ("phone", True)])
def test_fits_its_screen_and_keeps_to_the_policy(visit, confirmed, screen, dark):
    operator = open_as_operator(visit, confirmed, screen=screen, dark=dark)
    order = operator.address.removesuffix("change/")

    for page in ("change/", *(f"do/{action}/" for action in ACTIONS)):
        operator.open(order + page)
        assert not operator.overflows(), page
        assert operator.policy_violations() == [], page
