import pytest

pytestmark = pytest.mark.browser

PAGES = (
    "/",
    "/problems/",
    "/api/auth/login/",
    "/api/v1/products/?search=red&quantity[OAK-TABLE]=1",
    "/api/v1/quote/?quantity[RED-CHAIR]=2",
    "/api/v1/quote/?quantity[UNICORN]=1",
    "/api/v1/orders/",
    "/api/v1/payments/",
    "/api/v1/tokens/",
)


def tour(browser) -> list[str]:
    """
    Return the address of a page of each kind, an order's among them.
    """
    browser.open("/api/v1/quote/?quantity[RED-CHAIR]=2")
    browser.choose("A bank transfer, which leaves you time to pay, or to cancel")
    browser.press("Place this order")
    return [*PAGES, browser.address]


class TestPages:
    @pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
    def test_follow_the_accessibility_rules(self, ada, dark):
        browser = ada(dark=dark)
        violations = {}

        for address in tour(browser):
            browser.open(address)
            violations[address] = browser.accessibility_violations()

        assert {address: rules for address, rules in violations.items() if rules} == {}

    def test_fit_on_a_phone(self, ada):
        browser = ada(screen="phone")
        too_wide = []

        for address in tour(browser):
            browser.open(address)
            too_wide += [address] * browser.overflows()

        assert too_wide == []
