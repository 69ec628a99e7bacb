import pytest

from notifications.unsubscribing import Unsubscription, token_of
from tests.browser.demo_shop import OPERATOR

pytestmark = pytest.mark.browser

ADMIN_PAGES = ("", "orders/product/", "orders/product/add/", "orders/order/", "auth/user/add/", "auth/group/add/")
# Its logo, and the style of scroll bars that are not used.
BLOCKED_OF_REDOC = ("https://cdn.redoc.ly/redoc/logo-mini.svg", "/redoc.standalone.js 7 Applying inline style")
PAGES = (
    "/",
    "/problems/",
    "/api/auth/login/",
    "/api/v1/products/?search=red&quantity[OAK-TABLE]=1",
    "/api/v1/quote/?quantity[RED-CHAIR]=2",
    "/api/v1/quote/?quantity[UNICORN]=1",
    "/api/v1/orders/",
    "/api/v1/payments/",
    "/api/v1/notifications/",
    "/api/v1/notification-preferences/",
    "/api/v1/notifications/",
    "/api/v1/tokens/",
)


WORDS = {
    "en": ("A bank transfer, which leaves you time to pay, or to cancel", "Place this order"),
    "de": ("Eine Überweisung, die Ihnen Zeit lässt, zu bezahlen oder zu stornieren", "Zahlungspflichtig bestellen"),
}


def tour(browser) -> list[str]:
    """Return the address of a page of each kind, an order's among them."""
    transfer, place = WORDS[browser.language]
    browser.open("/api/v1/quote/?quantity[RED-CHAIR]=2")
    browser.choose(transfer)
    browser.press(place)
    unsubscribe = f"/unsubscribe/{token_of(Unsubscription('1', 'payment_due_soon'))}/"
    return [*PAGES, unsubscribe, browser.address]


class TestPages:
    @pytest.mark.parametrize(("dark", "language"), [(False, "en"), (True, "en"), (False, "de")])
    def test_follow_the_accessibility_rules(self, logged_in, dark, language):
        browser = logged_in(dark=dark, language=language)
        violations = {}

        for address in tour(browser):
            browser.open(address)
            violations[address] = browser.accessibility_violations()

        assert {address: rules for address, rules in violations.items() if rules} == {}

    def test_do_not_violate_their_content_security_policy(self, logged_in):
        browser = logged_in()
        violations = {}

        for address in [*tour(browser), "/api/v1/docs/"]:
            browser.open(address)
            violations[address] = browser.policy_violations()

        assert {address: messages for address, messages in violations.items() if messages} == {}

    def test_of_the_admin_do_not_either(self, visit):
        browser = visit()
        browser.log_in(**OPERATOR)
        violations = {}

        for page in ADMIN_PAGES:
            browser.open(f"/admin/{page}")
            violations[page] = browser.policy_violations()

        assert {page: messages for page, messages in violations.items() if messages} == {}

    def test_of_the_documentation_load_nothing_from_elsewhere(self, logged_in):
        browser = logged_in()

        browser.open("/api/v1/redoc/")
        browser.wait_for_headline("The shop's API (1)")

        blocked = browser.policy_violations()
        assert [message for message in blocked if not any(known in message for known in BLOCKED_OF_REDOC)] == []

    @pytest.mark.parametrize("language", ["en", "de"])
    def test_fit_on_a_phone(self, logged_in, language):
        browser = logged_in(screen="phone", language=language)
        too_wide = []

        for address in tour(browser):
            browser.open(address)
            too_wide += [address] * browser.overflows()

        assert too_wide == []
