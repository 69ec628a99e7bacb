import json
import sys
import time
from argparse import ArgumentParser, ArgumentTypeError
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import make_password
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from rich.console import Console
from rich.progress import Progress

from inventory.services import open_stock_items
from messaging.kernel.money import minor_unit_digits
from orders.drafts import Draft
from orders.models import Product
from orders.placing import InvalidOrder, PlacedOrder, place_orders
from orders.services import add_products
from shop.operations.order_feed import Invoice, OrderFeed, UnusableFeed, rejects_file

ACCOUNT = "order-feed"
PAYMENT_METHOD = "tok_feed"

BATCH_INVOICES = 200
BATCH_LINES = 10_000

MAX_OPENING_STOCK = 10**12


class Command(BaseCommand):
    help = (
        "Import an order feed: one order per invoice, at the feed's prices. Invalid invoices are rejected whole and "
        "written to a CSV with their reasons. Each invoice is imported once, so the command may be killed and run "
        "again. Exit status: 0 if the whole file was processed, 1 if it cannot be read or the rejects cannot be "
        "written (nothing is imported), 130 after Ctrl-C. docs/reference/order-feed.md describes the format and the "
        "reasons."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="the feed, a CSV in UTF-8")
        parser.add_argument(
            "--create-products", action="store_true", help="add products for unknown SKUs, at their first price"
        )
        parser.add_argument(
            "--opening-stock", type=_stock, default=0, metavar="N", help="opening stock of SKUs without a stock item"
        )
        parser.add_argument(
            "--rejects", type=Path, metavar="PATH", help="CSV of rejected invoices (default: FILE.rejects.csv)"
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object instead of sentences")

    def handle(self, *, file: Path, create_products: bool, opening_stock: int, **options: Any) -> None:
        rejects = options["rejects"] or file.with_name(f"{file.name}.rejects.csv")
        started = time.monotonic()
        try:
            feed = OrderFeed(file)
            _check(file, rejects)
            with rejects_file(rejects) as reject:
                feed_import = FeedImport(reject=reject, create_products=create_products, opening_stock=opening_stock)
                for batch in _batches(self._with_progress(feed)):
                    feed_import.take(batch)
        except UnusableFeed as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt:
            raise CommandError("Interrupted. Run it again: no invoice is imported twice.", returncode=130) from None
        report = feed_import.report
        report.seconds = round(time.monotonic() - started, 3)
        self.stdout.write(json.dumps(vars(report)) if options["json"] else report.as_text(rejects))

    def _with_progress(self, feed: OrderFeed) -> Iterator[Invoice]:
        """
        Yield the invoices, with a progress bar if standard error is a terminal.
        """
        with Progress(console=Console(file=sys.stderr), disable=not self.stderr.isatty()) as progress:
            yield from progress.track(feed, total=len(feed), description="Importing")


@dataclass
class ImportReport:
    """
    Counts of invoices, of order lines of accepted invoices, and of rejected invoices by reason.
    """

    accepted: int = 0
    already_imported: int = 0
    rejected: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    lines: int = 0
    seconds: float = 0.0

    def as_text(self, rejects: Path) -> str:
        """
        Return a summary in sentences.
        """
        return "\n".join(
            [
                f"Accepted {self.accepted} invoices with {self.lines} order lines in {self.seconds:.1f} s.",
                f"{self.already_imported} had been imported before.",
                f"Rejected {self.rejected}, see {rejects}",
                *(["Reasons (an invoice may have several):"] if self.reasons else []),
                *(f"  {reason}: {invoices}" for reason, invoices in self.reasons.most_common()),
            ]
        )


class FeedImport:
    """
    One run over a feed. Each batch is one call of `place_orders`, so one transaction.
    """

    def __init__(
        self, *, reject: Callable[[Invoice, Collection[str]], None], create_products: bool, opening_stock: int
    ) -> None:
        self.report = ImportReport()
        self._write_reject = reject
        self._create_products = create_products
        self._opening_stock = opening_stock
        self._customer_id = _account_id()

    def take(self, invoices: Sequence[Invoice]) -> None:
        """
        Place the orders of valid invoices, and reject the others.
        """
        valid = [invoice for invoice in invoices if not self._reject(invoice, invoice.faults())]
        self._stock_up(valid)
        drafts = [self._draft(invoice) for invoice in valid]
        results = place_orders(drafts, now=timezone.now())
        for invoice, draft, result in zip(valid, drafts, results, strict=True):
            self._record(invoice, draft, result)

    def _stock_up(self, invoices: Iterable[Invoice]) -> None:
        products: dict[str, Product] = {}
        for invoice in invoices:
            for product in invoice.products():
                products.setdefault(product.sku, product)
        if self._create_products:
            add_products(list(products.values()))
        if self._opening_stock:
            offered = Product.objects.filter(sku__in=products).values_list("sku", flat=True)
            open_stock_items(list(offered), opening=self._opening_stock, now=timezone.now())

    def _draft(self, invoice: Invoice) -> Draft:
        return Draft(
            customer_id=self._customer_id,
            lines=invoice.draft_lines(),
            payment_method=PAYMENT_METHOD,
            idempotency_key=invoice.number,
        )

    def _record(self, invoice: Invoice, draft: Draft, result: PlacedOrder | InvalidOrder) -> None:
        if isinstance(result, InvalidOrder):
            self._reject(invoice, {problem.code for problem in result.problems})
        elif result.is_new:
            self.report.accepted += 1
            self.report.lines += len(draft.lines)
        elif result.order.fingerprint == draft.fingerprint():
            self.report.already_imported += 1
        else:
            self._reject(invoice, {"differs_from_import"})

    def _reject(self, invoice: Invoice, reasons: Collection[str]) -> bool:
        """
        Reject the invoice if there are reasons, and return whether there were any.
        """
        if reasons:
            self._write_reject(invoice, reasons)
            self.report.rejected += 1
            self.report.reasons.update(sorted(reasons))
        return bool(reasons)


def _check(file: Path, rejects: Path) -> None:
    currency = settings.ORDERS.currency
    if minor_unit_digits(currency) != 2:
        raise UnusableFeed(f"Prices of a feed have two decimals, but prices in {currency} do not.")
    if rejects.exists() and (not rejects.is_file() or rejects.samefile(file)):
        raise UnusableFeed(f"Rejects cannot replace {rejects}. Choose another file with --rejects.")


def _batches(invoices: Iterable[Invoice]) -> Iterator[list[Invoice]]:
    batch: list[Invoice] = []
    lines = 0
    for invoice in invoices:
        batch.append(invoice)
        lines += len(invoice.rows)
        if len(batch) == BATCH_INVOICES or lines >= BATCH_LINES:
            yield batch
            batch, lines = [], 0
    if batch:
        yield batch


def _account_id() -> int:
    """
    Return the id of the customer of imported orders, which has no usable password.
    """
    users = get_user_model().objects
    account, _ = users.get_or_create(username=ACCOUNT, defaults={"password": make_password(None)})
    return int(account.pk)


def _stock(text: str) -> int:
    if not text.isdecimal() or int(text) > MAX_OPENING_STOCK:
        raise ArgumentTypeError(f"{text!r} is not a whole number between 0 and {MAX_OPENING_STOCK}.")
    return int(text)
