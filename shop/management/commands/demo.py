import json
import secrets
from argparse import ArgumentParser
from datetime import timedelta
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from inventory.services import open_stock_items
from orders.drafts import Draft, DraftLine
from orders.models import Product
from orders.placing import place_orders
from orders.services import add_products
from shop.accounts.services import issue_token

SAMPLE = Path(settings.BASE_DIR, "shop", "samples", "online_retail_sample.csv")

CUSTOMER_PASSWORD = "ada-counts-chairs"
OPERATOR_PASSWORD = "olga-runs-the-shop"

PRODUCTS = {
    "RED-CHAIR": ("Red chair", 4_500),
    "BLUE-CHAIR": ("Blue chair", 4_500),
    "OAK-TABLE": ("Oak table", 24_900),
    "READING-LAMP": ("Reading lamp", 3_250),
    "WOOL-BLANKET": ("Wool blanket", 5_999),
    "COPPER-KETTLE": ("Copper kettle", 3_800),
    "TEA-CUPS-6": ("Six tea cups", 2_400),
    "BREAD-BOARD": ("Bread board", 1_850),
    "WALL-CLOCK": ("Wall clock", 2_990),
    "DOOR-MAT": ("Door mat", 1_200),
    "CANDLES-12": ("Twelve candles", 699),
}
RARITY = Product(sku="MING-VASE", name="Ming vase", price=880_000)

# (key, SKU, quantity, payment method): one for each possible outcome.
ORDERS = [
    ("approved", "RED-CHAIR", 4, "tok_visa"),
    ("approved-too", "CANDLES-12", 10, "tok_mastercard"),
    ("declined", "OAK-TABLE", 1, "tok_declined"),
    ("timeout", "WOOL-BLANKET", 2, "tok_timeout"),
    ("pending", "WALL-CLOCK", 1, "tok_pending"),
    ("out-of-stock", "MING-VASE", 3, "tok_visa"),
]


class Command(BaseCommand):
    help = (
        "Fill in demo data: a customer, an operator, products with stock, an order for each possible outcome, and a "
        "real retailer's order log. Prints the logins and a command that places an order. Running it again changes "
        "nothing. Refused if DEBUG is off, because the passwords are public. Exit status: 0 if done, 1 if refused."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--address", default="http://127.0.0.1:8000", help="address of the shop (default: %(default)s)"
        )

    def handle(self, *, address: str, **options: Any) -> None:
        if not settings.DEBUG:
            raise CommandError("Demo data has public passwords, so it is refused if DEBUG is off.")
        ada = ensure_user("ada", CUSTOMER_PASSWORD)
        ensure_user("olga", OPERATOR_PASSWORD, is_staff=True, is_superuser=True)
        add_demo_products()
        place_demo_orders(ada)
        self._import_sample()
        _, token = issue_token(user=ada, name="demo", expires_in=timedelta(days=1), now=timezone.now())
        self._print_logins(address, token)

    def _import_sample(self) -> None:
        outcome = StringIO()
        with TemporaryDirectory() as folder:
            options = {"create_products": True, "opening_stock": 100_000, "rejects": Path(folder, "rejects.csv")}
            call_command("import_orders", SAMPLE, json=True, stdout=outcome, stderr=self.stderr, **options)
        report = json.loads(outcome.getvalue())
        orders = report["accepted"] + report["already_imported"]
        self.stdout.write(
            f"Imported a real retailer's log: {orders} orders; {report['rejected']} invoices rejected, as "
            "intended: cancellations, returns and invalid product codes.\n"
        )

    def _print_logins(self, address: str, token: str) -> None:
        self.stdout.write("\nLogins:\n")
        self.stdout.write(f"  ada   {CUSTOMER_PASSWORD}   a customer\n")
        self.stdout.write(f"  olga  {OPERATOR_PASSWORD}  an operator\n")
        self.stdout.write("\nPlace an order as ada:\n")
        self.stdout.write(f"  {curl(address, token)}\n")


def ensure_user(username: str, password: str, **flags: bool) -> User:
    """
    Return this user, created if missing, with this password.
    """
    user, _ = User.objects.get_or_create(username=username, defaults={"email": f"{username}@example.com", **flags})
    if not user.check_password(password):
        user.set_password(password)
        user.save(update_fields=["password"])
    return user


def add_demo_products() -> None:
    """
    Add a dozen products with a stock of 100 each, but 2 of the vase.
    """
    common = [Product(sku=sku, name=name, price=price) for sku, (name, price) in PRODUCTS.items()]
    add_products([*common, RARITY])
    open_stock_items(list(PRODUCTS), opening=100, now=timezone.now())
    open_stock_items([RARITY.sku], opening=2, now=timezone.now())


def place_demo_orders(customer: User) -> None:
    """
    Place one order for each possible outcome, unless it exists.
    """
    drafts = [
        Draft(
            customer_id=customer.pk,
            lines=[DraftLine(sku=sku, quantity=quantity)],
            payment_method=payment_method,
            email=customer.email,
            idempotency_key=f"demo-{key}",
        )
        for key, sku, quantity, payment_method in ORDERS
    ]
    place_orders(drafts, now=timezone.now())


def curl(address: str, token: str) -> str:
    """
    Return a command that places one order, even if run several times.
    """
    order = {
        "lines": [{"sku": "RED-CHAIR", "quantity": 1}],
        "payment_method": "tok_visa",
        "expected_total": Product.objects.get(sku="RED-CHAIR").price,
    }
    headers = {
        "Authorization": f"Token {token}",
        "Content-Type": "application/json",
        "Idempotency-Key": secrets.token_hex(8),
    }
    options = " ".join(f"-H '{name}: {value}'" for name, value in headers.items())
    return f"curl {address}/api/v1/orders/ {options} -d '{json.dumps(order)}'"
