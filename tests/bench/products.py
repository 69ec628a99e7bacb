"""The products of a measured shop."""

from django.apps import apps
from django.utils import timezone

SKUS = [f"SKU-{number:03}" for number in range(500)]
PRICE = 100


def open_shop() -> None:
    """Add 500 products, with more stock than any run sells: in a service, what it stores of that."""
    if apps.is_installed("orders"):
        from orders.models import Product
        from orders.services import add_products

        add_products([Product(sku=sku, name=f"Product {sku}", price=PRICE) for sku in SKUS])
    if apps.is_installed("inventory"):
        from inventory.services import open_stock_items

        open_stock_items(SKUS, opening=10**9, now=timezone.now())
