"""Save screenshots of the pages, from a shop of its own: `python -m tests.browser FOLDER`."""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.browser.browser import Browser
from tests.browser.demo_shop import LOGIN, DemoShop


def capture_order(browser: Browser, folder: Path) -> None:
    """Save the pages from the products to the confirmed order."""
    browser.open("/api/v1/products/?search=chair&quantity[OAK-TABLE]=1")
    browser.fill("Quantity of Red chair", "4")
    browser.save_screenshot(folder / "products.png")
    browser.press("Review your order")
    browser.save_screenshot(folder / "review.png")
    browser.press("Place this order")
    browser.wait_for_headline("Your order is confirmed")
    browser.save_screenshot(folder / "order.png")


def capture_open_order(browser: Browser, folder: Path) -> None:
    """Save the page of an order that waits for its payment."""
    browser.open("/api/v1/quote/?quantity[TEA-CUPS-6]=1&quantity[COPPER-KETTLE]=1")
    browser.choose("A bank transfer, which leaves you time to pay, or to cancel")
    browser.press("Place this order")
    browser.wait_for_headline("Your order awaits its payment")
    browser.save_screenshot(folder / "phone.png")


def main(folder: Path) -> None:
    with TemporaryDirectory() as scratch, DemoShop(Path(scratch), f"sqlite:///{scratch}/shop.sqlite3") as shop:
        for capture, options in [(capture_order, {}), (capture_open_order, {"screen": "phone", "dark": True})]:
            with Browser(shop.address, **options) as browser:
                browser.log_in(**LOGIN)
                capture(browser, folder)


main(Path(sys.argv[1]))
