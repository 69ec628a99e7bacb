"""A running shop with demo data, as `manage.py up --demo` starts it."""

from pathlib import Path
from urllib.request import urlopen

from tests.programs import Up

LOGIN = {"name": "ada", "password": "ada-counts-chairs"}
OPERATOR = {"name": "olga", "password": "olga-runs-the-shop"}


class DemoShop(Up):
    """Running during the `with` block, with its demo products in stock."""

    def __init__(self, folder: Path, database_url: str) -> None:
        environment = {
            "DATABASE_URL": database_url,
            "PAYMENT_SIMULATOR_LEDGER": str(folder / "ledger.sqlite3"),
            "SHOP_NAME": "The Shop",
        }
        super().__init__(folder / "shopfront.log", "--demo", "--port=0", environment=environment)

    def is_ready(self) -> bool:
        """Return whether the shop serves, and shows its demo products as in stock."""
        self.wait_until_open()
        with urlopen(f"{self.address}/api/v1/products/?search=CANDLES-12&sold_out=false") as answer:
            return b"CANDLES-12" in answer.read()
