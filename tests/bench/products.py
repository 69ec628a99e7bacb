"""The products of a measured shop."""

from django.utils import timezone

from inventory.services import open_stock_items
from orders import services
from orders.models import Product

SKUS = [f"SKU-{number:03}" for number in range(500)]
PRICE = 100


def open_shop() -> None:
    """Add 500 products, with more stock than any run sells."""
    services.add_products([Product(sku=sku, name=f"Product {sku}", price=PRICE) for sku in SKUS])
    open_stock_items(SKUS, opening=10**9, now=timezone.now())
