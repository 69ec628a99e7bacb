"""
Draws pictures of the pages, from a shop of its own: `python -m tests.browser FOLDER`.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.browser.shopfront import LOGIN, Shopfront
from tests.browser.visitor import Visitor


def draw_order(visitor: Visitor, folder: Path) -> None:
    """
    Draw what a customer sees from the products to the confirmed order.
    """
    visitor.open("/api/v1/products/?search=chair&quantity[OAK-TABLE]=1")
    visitor.fill("How many of Red chair", "4")
    visitor.photograph(folder / "products.png")
    visitor.press("Review your order")
    visitor.photograph(folder / "review.png")
    visitor.press("Place this order")
    visitor.watch_until("Your order is confirmed")
    visitor.photograph(folder / "order.png")


def draw_open_order(visitor: Visitor, folder: Path) -> None:
    """
    Draw an order that waits for its payment.
    """
    visitor.open("/api/v1/quote/?quantity[TEA-CUPS-6]=1&quantity[COPPER-KETTLE]=1")
    visitor.choose("A bank transfer, which leaves you time to pay, or to cancel")
    visitor.press("Place this order")
    visitor.watch_until("Your order awaits its payment")
    visitor.photograph(folder / "phone.png")


def main(folder: Path) -> None:
    with TemporaryDirectory() as scratch, Shopfront(Path(scratch), f"sqlite:///{scratch}/shop.sqlite3") as shop:
        for draw, traits in [(draw_order, {}), (draw_open_order, {"screen": "phone", "dark": True})]:
            with Visitor(shop.address, **traits) as visitor:
                visitor.log_in(**LOGIN)
                draw(visitor, folder)


main(Path(sys.argv[1]))
