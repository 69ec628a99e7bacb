"""
A real shop, open for visitors: web server, worker and demo data, as `manage.py up --demo` starts them.
"""

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Self
from urllib.request import urlopen

PATIENCE_SECONDS = 120
PROJECT = Path(__file__).resolve().parents[2]

OPENED = re.compile(r"is open\..*?(http://[\d.:]+)/", re.DOTALL)
LOGIN = {"name": "ada", "password": "ada-counts-chairs"}


class Shopfront:
    """
    Open within the `with` block.
    """

    def __init__(self, folder: Path, database_url: str) -> None:
        self.log = folder / "shopfront.log"
        self.environment = os.environ | {
            "DATABASE_URL": database_url,
            "PAYMENT_SIMULATOR_LEDGER": str(folder / "ledger.sqlite3"),
            "DEBUG": "on",
            "SHOP_NAME": "The Shop",
        }

    def __enter__(self) -> Self:
        with self.log.open("w") as log:
            self.up = subprocess.Popen(
                [sys.executable, "manage.py", "up", "--demo", "--workers", "1", "--port", "0", "--simulator-port", "0"],
                cwd=PROJECT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.address = self._await_opening()
        return self

    def __exit__(self, *_: object) -> None:
        self.up.terminate()
        self.up.wait()

    def _await_opening(self) -> str:
        """
        Wait until it is open and offers its goods, and tell its address.
        """
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not ((told := OPENED.search(self.log.read_text())) and offers_goods(told[1])):
            assert self.up.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, "waited in vain for the shop to open"
            time.sleep(0.1)
        return told[1]


def offers_goods(address: str) -> bool:
    """
    Tell whether the shop knows yet that its demo products are in stock.
    """
    with urlopen(f"{address}/api/v1/products/?search=CANDLES-12&sold_out=false") as answer:
        return b"CANDLES-12" in answer.read()
