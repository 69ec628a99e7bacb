import json
import secrets
from argparse import ArgumentParser
from datetime import timedelta
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.templatetags.static import static
from django.utils import timezone

from shop.scenes import CUSTOMER, OPERATOR, Login

SAMPLE = Path(settings.CODE_DIR, "shop", "samples", "online_retail_sample.csv")

PHONE = "+447700900123"
"""Of a range that Ofcom reserves for fiction."""

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
    "MING-VASE": ("Ming vase", 880_000),
}
RARITY = "MING-VASE"

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
        "real retailer's order log. Prints the logins and a command that places an order. A service that runs some of "
        "the contexts gets what they store, without the log: run it with inventory first. Running it again changes "
        "nothing. Refused if DEBUG is off, because the passwords are public. Exit status: 0 if done, 1 if refused."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--address", default="http://127.0.0.1:8000", help="address of the shop (default: %(default)s)"
        )
        parser.add_argument("--without-log", action="store_true", help="leave out the retailer's order log")

    def handle(self, *, address: str, without_log: bool, **options: Any) -> None:
        if not settings.DEBUG:
            raise CommandError("Demo data has public passwords, so it is refused if DEBUG is off.")
        ensure_user(OPERATOR, is_staff=True, is_superuser=True)
        if "inventory" in settings.SERVICE.contexts:
            open_demo_stock()
        if "orders" in settings.SERVICE.contexts:
            self._fill_orders(address, has_log=settings.SERVICE.is_whole_shop and not without_log)

    def _fill_orders(self, address: str, *, has_log: bool) -> None:
        from shop.accounts.services import issue_token

        ada = ensure_user(CUSTOMER)
        add_demo_products()
        place_demo_orders(ada)
        if has_log:
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
        self.stdout.write(f"  {CUSTOMER.name}   {CUSTOMER.password}   a customer\n")
        self.stdout.write(f"  {OPERATOR.name}  {OPERATOR.password}  an operator\n")
        self.stdout.write("\nPlace an order as ada:\n")
        self.stdout.write(f"  {curl(address, token)}\n")


def ensure_user(login: Login, **flags: bool) -> User:
    """
    Return this user, created if missing, with this password.
    """
    email = f"{login.name}@example.com"
    user, _ = User.objects.get_or_create(username=login.name, defaults={"email": email, **flags})
    if not user.check_password(login.password):
        user.password = make_password(login.password)  # unlike `set_password`, it tells no customer of a change
        user.save(update_fields=["password"])
    return user


def open_demo_stock() -> None:
    """
    Open a stock of 100 of each product, but 2 of the vase.
    """
    from inventory.services import open_stock_items

    open_stock_items([RARITY], opening=2, now=timezone.now())
    open_stock_items(list(PRODUCTS), opening=100, now=timezone.now())


def add_demo_products() -> None:
    """
    Add a dozen products, each with a picture.
    """
    from orders.models import Product
    from orders.services import add_products

    add_products(
        [Product(sku=sku, name=name, price=price, picture=_picture(sku)) for sku, (name, price) in PRODUCTS.items()]
    )


def _picture(sku: str) -> str:
    return static(f"orders/pictures/{sku.lower()}.svg")


def place_demo_orders(customer: User) -> None:
    """
    Place one order for each possible outcome, unless it exists.
    """
    from orders.drafts import Draft, DraftLine
    from orders.placing import place_orders

    drafts = [
        Draft(
            customer_id=customer.pk,
            lines=[DraftLine(sku=sku, quantity=quantity)],
            payment_method=payment_method,
            email=customer.email,
            phone=PHONE,
            idempotency_key=f"demo-order-{key}",
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
        "expected_total": _price_of("RED-CHAIR"),
    }
    headers = {
        "Authorization": f"Token {token}",
        "Content-Type": "application/json",
        "Idempotency-Key": secrets.token_hex(8),
    }
    options = " ".join(f"-H '{name}: {value}'" for name, value in headers.items())
    return f"curl {address}/api/v1/orders/ {options} -d '{json.dumps(order)}'"


def _price_of(sku: str) -> int:
    from orders.models import Product

    return Product.objects.get(sku=sku).price
