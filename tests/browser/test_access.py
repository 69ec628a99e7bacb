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


def tour(visitor) -> list[str]:
    """
    List the addresses of a page of each kind, an order's among them.
    """
    visitor.open("/api/v1/quote/?quantity[RED-CHAIR]=2")
    visitor.choose("A bank transfer, which leaves you time to pay, or to cancel")
    visitor.press("Place this order")
    return [*PAGES, visitor.address]


class TestPages:
    @pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
    def test_raise_no_barriers(self, ada, dark):
        visitor = ada(dark=dark)
        found = {}

        for address in tour(visitor):
            visitor.open(address)
            found[address] = visitor.barriers()

        assert {address: barriers for address, barriers in found.items() if barriers} == {}

    def test_fit_on_a_phone(self, ada):
        visitor = ada(screen="phone")
        too_wide = []

        for address in tour(visitor):
            visitor.open(address)
            too_wide += [address] * visitor.is_wider_than_its_screen()

        assert too_wide == []
