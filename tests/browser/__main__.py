"""Save screenshots of the pages, from a shop of its own: `python -m tests.browser FOLDER`."""

import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import django

from tests.browser.broken_shop import RITA, BrokenShop
from tests.browser.browser import Browser
from tests.browser.demo_shop import LOGIN, OPERATOR, DemoShop

Page = tuple[Callable[[Browser, Path], None], Mapping[str, Any]]
"""What to capture, and the options of the browser."""

NUMBER = re.compile(r"Out of stock: your order (\S+)")


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


def capture_german_order(browser: Browser, folder: Path) -> None:
    """Save the page of a confirmed order in German."""
    browser.open("/api/v1/quote/?quantity[RED-CHAIR]=4&quantity[OAK-TABLE]=1")
    browser.press("Zahlungspflichtig bestellen")
    browser.wait_for_headline("Ihre Bestellung ist bestätigt")
    browser.save_screenshot(folder / "order-de.webp")


def capture_german_checkout(browser: Browser, folder: Path) -> None:
    """Save the page on which a customer checks an order, in German."""
    browser.open("/api/v1/quote/?quantity[TEA-CUPS-6]=1&quantity[COPPER-KETTLE]=1")
    browser.save_screenshot(folder / "phone-de.webp")


def capture_preferences(browser: Browser, folder: Path) -> None:
    """Save the page on which a customer chooses notifications."""
    browser.open("/api/v1/notification-preferences/")
    browser.save_screenshot(folder / f"preferences-{browser.language}.webp")


CUSTOMER_PAGES = (
    (capture_order, {}),
    (capture_open_order, {"screen": "phone", "dark": True}),
    (capture_german_order, {"language": "de"}),
    (capture_german_checkout, {"screen": "phone", "language": "de"}),
    (capture_preferences, {}),
    (capture_preferences, {"screen": "phone", "language": "de"}),
)


def capture_preview(browser: Browser, folder: Path) -> None:
    """Save the preview of a message, as operators see it."""
    browser.open("/admin/notifications/notification/previews/payment-due-soon/en/")
    browser.save_screenshot(folder / "preview.webp")


def capture_home(browser: Browser, folder: Path) -> None:
    """Save the home page of the admin."""
    browser.open("/admin/")
    browser.save_screenshot(folder / ("home-phone.webp" if browser.screen == "phone" else "home.webp"))


def capture_sent_messages(browser: Browser, folder: Path) -> None:
    """Save the list of what was sent about an order, found by its number."""
    browser.open("/sent/")
    browser.reload_until("Out of stock")
    browser.fill("Recipient or number", NUMBER.search(browser.text)[1])
    browser.press("Search")
    browser.save_screenshot(folder / "sent.webp")


def capture_sent_mail(browser: Browser, folder: Path) -> None:
    """Save the page of a mail that was sent, in German."""
    browser.open("/sent/")
    browser.press("Ihre Bestellung")
    browser.frames()  # are loaded after their page
    browser.save_screenshot(folder / "sent-mail-de.webp")


def capture_mails(folder: Path) -> None:
    """Save the mails of every kind: in English in light mode, in German in dark mode."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "shop.settings"
    django.setup()
    from tests.browser.mails import write_sheet

    with TemporaryDirectory() as scratch:
        for language, dark in [("en", False), ("de", True)]:
            sheet = Path(scratch) / f"{language}.html"
            write_sheet(sheet, language)
            with Browser("", screen="sheet", dark=dark) as browser:
                browser.open(sheet.as_uri())
                browser.save_screenshot(folder / f"mails-{language}.webp")


def _file(folder: Path, name: str, browser: Browser) -> Path:
    return folder / f"{name}{'-phone' * (browser.screen == 'phone')}.webp"


def capture_orders(browser: Browser, folder: Path) -> None:
    """Save the list of orders in the admin, with many rows."""
    browser.open("/admin/orders/order/")
    browser.save_screenshot(_file(folder, "desk-orders", browser))


def capture_broken_home(browser: Browser, folder: Path) -> None:
    """Save the home page of the admin of a broken shop."""
    browser.open("/admin/")
    browser.save_screenshot(_file(folder, "desk-broken", browser))


def capture_order_page(browser: Browser, folder: Path) -> None:
    """Save the page of an order whose refund was refused."""
    browser.open(f"/admin/orders/order/?q={RITA}")
    browser.press_link_of("number")
    browser.save_screenshot(_file(folder, "desk-order", browser))


def capture_dead_letters(browser: Browser, folder: Path) -> None:
    """Save the page of dead letters with the same error, with a traceback."""
    browser.open("/admin/messaging/delivery/groups/")
    browser.press("notifications.send_confirmation")
    browser.save_screenshot(_file(folder, "desk-dead-letters", browser))


def capture_customer(browser: Browser, folder: Path) -> None:
    """Save the page of a customer."""
    browser.open("/admin/auth/user/?q=ada")
    browser.press_link_of("username")
    browser.save_screenshot(_file(folder, "desk-customer", browser))


def capture_no_dead_letters(browser: Browser, folder: Path) -> None:
    """Save the page of dead letters after all were replayed and delivered."""
    browser.open("/admin/messaging/delivery/replay/")
    browser.press("Replay")
    browser.wait_for_text("Nothing is waiting any more.")
    browser.save_screenshot(_file(folder, "desk-replayed", browser))
    browser.open("/admin/messaging/delivery/groups/")
    browser.save_screenshot(_file(folder, "desk-no-dead-letters", browser))


BROKEN_PAGES = (
    (capture_broken_home, {"screen": "sheet"}),
    (capture_order_page, {"screen": "sheet"}),
    (capture_order_page, {"screen": "phone", "dark": True}),
    (capture_dead_letters, {}),
    (capture_dead_letters, {"screen": "phone", "dark": True}),
    (capture_customer, {}),
    (capture_customer, {"screen": "phone"}),
    (capture_no_dead_letters, {"dark": True}),
)

OPERATOR_PAGES = (
    (capture_orders, {"dark": True}),
    (capture_home, {"screen": "sheet"}),
    (capture_home, {"screen": "phone", "dark": True}),
    (capture_preview, {"screen": "sheet"}),
    (capture_sent_messages, {}),
    (capture_sent_mail, {"dark": True, "language": "de"}),
)


def main(folder: Path) -> None:
    capture_mails(folder)
    with TemporaryDirectory() as scratch, DemoShop(Path(scratch), f"sqlite:///{scratch}/shop.sqlite3") as shop:
        capture_all(shop.address, LOGIN, CUSTOMER_PAGES, folder)
        capture_all(shop.address, OPERATOR, OPERATOR_PAGES, folder)
    with TemporaryDirectory() as scratch, BrokenShop(Path(scratch)) as shop:
        capture_all(shop.address, OPERATOR, BROKEN_PAGES, folder)


def capture_all(address: str, login: Mapping[str, str], pages: Sequence[Page], folder: Path) -> None:
    """Save pages of a shop, each in a browser of its own that has logged in."""
    for capture, options in pages:
        with Browser(address, **options) as browser:
            browser.log_in(**login)
            capture(browser, folder)


main(Path(sys.argv[1]))
