"""
The format of an order feed: a CSV with one row per invoice line. The rejects file has the same rows with reasons.
"""

import csv
import json
import os
import re
import sqlite3
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from tempfile import mkstemp

from orders.drafts import SKU, DraftLine
from orders.models import Product

COLUMNS = ("InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country")

INVOICE_NUMBER = re.compile(r"[!-~]{1,64}")  # printable ASCII without blanks
QUANTITY = re.compile(r"0*[1-9][0-9]{0,11}")
PRICE = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,2})?")

BY_FIRST_ROW = """
    SELECT invoice, fields FROM line ORDER BY min(number) OVER (PARTITION BY invoice), number
"""


class UnusableFeed(Exception):
    """
    The file as a whole cannot be read as a feed. Nothing was imported.
    """


@dataclass(frozen=True, kw_only=True)
class Invoice:
    """
    The rows of one invoice number, with fields as the feed has them.
    """

    number: str
    rows: Sequence[Sequence[str]]

    def faults(self) -> set[str]:
        """
        Return stable codes for why this is not an order; empty if it is one.
        """
        return {*_number_faults(self.number), *(fault for row in self.rows for fault in _row_faults(row))}

    def draft_lines(self) -> list[DraftLine]:
        """
        Return the lines of an invoice without faults; rows of equal SKU and price are merged.
        """
        quantities: Counter[tuple[str, int]] = Counter()
        for _, sku, _, quantity, _, price, *_ in self.rows:
            quantities[sku, _minor_units(price)] += int(quantity)
        return [
            DraftLine(sku=sku, quantity=quantity, unit_price=price) for (sku, price), quantity in quantities.items()
        ]

    def products(self) -> Iterator[Product]:
        """
        Return unsaved products of an invoice without faults; the SKU is the name where the description is empty.
        """
        for _, sku, description, _, _, price, *_ in self.rows:
            name = " ".join(description.split())[:200]
            yield Product(sku=sku, name=name or sku, price=_minor_units(price))


class OrderFeed:
    """
    The invoices of a file, in the order of their first rows; rows of one invoice need not be adjacent.

    The rows are staged in a temporary database on disk: memory does not grow with the file, and an error at its end is
    found before anything is imported.

    :raises UnusableFeed: if the file cannot be read as a feed.
    """

    def __init__(self, path: Path) -> None:
        self._stage = sqlite3.connect("")
        self._stage.execute("CREATE TABLE line (number INTEGER PRIMARY KEY, invoice TEXT, fields TEXT)")
        lines = ((row[0], json.dumps(row)) for row in _read(path))
        self._stage.executemany("INSERT INTO line (invoice, fields) VALUES (?, ?)", lines)

    def __len__(self) -> int:
        (invoices,) = self._stage.execute("SELECT count(DISTINCT invoice) FROM line").fetchone()
        return int(invoices)

    def __iter__(self) -> Iterator[Invoice]:
        lines = self._stage.execute(BY_FIRST_ROW)
        for number, of_invoice in groupby(lines, key=itemgetter(0)):
            yield Invoice(number=number, rows=[json.loads(fields) for _, fields in of_invoice])


@contextmanager
def rejects_file(path: Path) -> Iterator[Callable[[Invoice, Collection[str]], None]]:
    """
    Yield a function that writes a rejected invoice with its reasons; the file appears only when the block succeeds.

    The reasons are always the ninth column; surplus fields of a malformed row follow them.

    :raises UnusableFeed: if the file cannot be written.
    """
    try:
        handle, name = mkstemp(dir=path.parent, prefix=f"{path.name}.")
    except OSError as error:
        raise UnusableFeed(
            f"Rejects cannot be written to {path}: {error.strerror}. Choose another file with --rejects."
        ) from error
    part = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow([*COLUMNS, "reasons"])
            yield lambda invoice, reasons: writer.writerows(_with_reasons(invoice, reasons))
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _read(path: Path) -> Iterator[list[str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield from _rows(path, file)
    except OSError as error:
        raise UnusableFeed(f"Cannot read {path}: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UnusableFeed(f"{path} is not UTF-8. Convert it and import it again.") from error


def _rows(path: Path, file: Iterable[str]) -> Iterator[list[str]]:
    reader = csv.reader(file, strict=True)
    try:
        if next(reader, []) != list(COLUMNS):
            raise UnusableFeed(f"{path} is not an order feed: its first line must be {','.join(COLUMNS)}")
        yield from filter(None, reader)  # a blank line has no fields
    except csv.Error as error:
        raise UnusableFeed(f"{path}, line {reader.line_num}: {error}. Repair it and import it again.") from error


def _number_faults(number: str) -> Iterator[str]:
    if not INVOICE_NUMBER.fullmatch(number):
        yield "invalid_invoice_number"
    elif number.startswith("C"):
        yield "cancellation"


def _row_faults(row: Sequence[str]) -> Iterator[str]:
    if len(row) != len(COLUMNS) or any("\0" in value for value in row):
        yield "malformed_line"
        return
    _, sku, _, quantity, _, price, *_ = row
    if not SKU.fullmatch(sku):
        yield "invalid_sku"
    if not QUANTITY.fullmatch(quantity):
        yield "invalid_quantity"
    if not PRICE.fullmatch(price):
        yield "invalid_price"
    elif price.startswith("-"):
        yield "negative_price"


def _minor_units(price: str) -> int:
    return int(Decimal(price).scaleb(2))


def _with_reasons(invoice: Invoice, reasons: Collection[str]) -> Iterator[list[str]]:
    width = len(COLUMNS)
    for row in invoice.rows:
        missing = [""] * (width - len(row))
        yield [*row[:width], *missing, " ".join(sorted(reasons)), *row[width:]]
