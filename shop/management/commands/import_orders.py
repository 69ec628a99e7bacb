import json
import sys
import time
from argparse import ArgumentParser, ArgumentTypeError
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from babel.numbers import get_currency_precision
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import make_password
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from rich.console import Console
from rich.progress import Progress

from inventory.services import open_stock_items
from orders.drafts import Draft
from orders.models import Product
from orders.placing import Placement, place_orders
from orders.services import add_products
from shop.operations.order_feed import Feed, Invoice, UnusableFeed, rejects_file

ACCOUNT = "order-feed"
PAYMENT_METHOD = "tok_feed"

BATCH_INVOICES = 200
BATCH_LINES = 10_000

MAX_OPENING_STOCK = 10**12


class Command(BaseCommand):
    help = (
        "Import an order feed: one order per invoice, at the feed's prices. Invoices that cannot be taken are rejected "
        "whole and go to a CSV with their reasons, the others go on. An invoice is imported once, so it is safe to run "
        "again, and to kill. Exit status: 0 when the whole file was gone through, 1 when it or the place for the "
        "rejects cannot be used, which changes nothing, 130 after Ctrl-C. See docs/operations.md for the format and "
        "the reasons."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="the feed, a CSV in UTF-8")
        parser.add_argument(
            "--create-products", action="store_true", help="offer unknown skus, at the price that comes first"
        )
        parser.add_argument(
            "--opening-stock", type=_stock, default=0, metavar="N", help="put N on the shelf of skus never opened"
        )
        parser.add_argument("--rejects", type=Path, metavar="PATH", help="where to (default: FILE.rejects.csv)")
        parser.add_argument("--json", action="store_true", help="print the outcome as one JSON object")

    def handle(self, *, file: Path, create_products: bool, opening_stock: int, **options: Any) -> None:
        rejects = options["rejects"] or file.with_name(f"{file.name}.rejects.csv")
        started = time.monotonic()
        try:
            feed = Feed(file)
            _check(file, rejects)
            with rejects_file(rejects) as reject:
                run = Import(reject=reject, create_products=create_products, opening_stock=opening_stock)
                for batch in _batches(self._watched(feed)):
                    run.take(batch)
        except UnusableFeed as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt:
            raise CommandError("Stopped. Run it again: no invoice is imported twice.", returncode=130) from None
        run.report.seconds = round(time.monotonic() - started, 3)
        self.stdout.write(json.dumps(vars(run.report)) if options["json"] else run.report.told(rejects))

    def _watched(self, feed: Feed) -> Iterator[Invoice]:
        """
        Go through the feed with a progress bar, if anybody is there to see it.
        """
        with Progress(console=Console(file=sys.stderr), disable=not self.stderr.isatty()) as progress:
            yield from progress.track(feed, total=len(feed), description="Importing")


@dataclass
class Report:
    accepted: int = 0
    already_imported: int = 0
    rejected: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    lines: int = 0
    seconds: float = 0.0

    def told(self, rejects: Path) -> str:
        """
        Tell it to a person.
        """
        return "\n".join(
            [
                f"Accepted {self.accepted} invoices with {self.lines} order lines in {self.seconds:.1f} s.",
                f"{self.already_imported} were imported before.",
                f"Rejected {self.rejected}, see {rejects}",
                *(["Reasons, of which an invoice may have several:"] if self.reasons else []),
                *(f"  {reason}: {invoices}" for reason, invoices in self.reasons.most_common()),
            ]
        )


class Import:
    """
    One run over a feed, batch by batch. Each batch is one call of `place_orders`, so one transaction.
    """

    def __init__(
        self, *, reject: Callable[[Invoice, Collection[str]], None], create_products: bool, opening_stock: int
    ) -> None:
        self.report = Report()
        self._write_reject = reject
        self._create_products = create_products
        self._opening_stock = opening_stock
        self._customer_id = _account_id()

    def take(self, invoices: Sequence[Invoice]) -> None:
        """
        Place the orders of these invoices, and reject those that cannot be taken.
        """
        readable = [invoice for invoice in invoices if not self._reject(invoice, invoice.faults())]
        self._stock_up(readable)
        drafts = [self._draft(invoice) for invoice in readable]
        placements = place_orders(drafts, now=timezone.now())
        for invoice, draft, placement in zip(readable, drafts, placements, strict=True):
            self._record(invoice, draft, placement)

    def _stock_up(self, invoices: Iterable[Invoice]) -> None:
        mentioned: dict[str, Product] = {}
        for invoice in invoices:
            for product in invoice.products():
                mentioned.setdefault(product.sku, product)
        if self._create_products:
            add_products(list(mentioned.values()))
        if self._opening_stock:
            offered = Product.objects.filter(sku__in=mentioned).values_list("sku", flat=True)
            open_stock_items(list(offered), opening=self._opening_stock, now=timezone.now())

    def _draft(self, invoice: Invoice) -> Draft:
        return Draft(
            customer_id=self._customer_id,
            lines=invoice.draft_lines(),
            payment_method=PAYMENT_METHOD,
            idempotency_key=invoice.number,
        )

    def _record(self, invoice: Invoice, draft: Draft, placement: Placement) -> None:
        if placement.order is None:
            self._reject(invoice, {problem.code for problem in placement.problems})
        elif placement.is_new:
            self.report.accepted += 1
            self.report.lines += len(draft.lines)
        elif placement.order.fingerprint == draft.fingerprint():
            self.report.already_imported += 1
        else:
            self._reject(invoice, {"differs_from_import"})

    def _reject(self, invoice: Invoice, reasons: Collection[str]) -> bool:
        """
        Reject the invoice if there are reasons to, and tell whether there were.
        """
        if reasons:
            self._write_reject(invoice, reasons)
            self.report.rejected += 1
            self.report.reasons.update(sorted(reasons))
        return bool(reasons)


def _check(file: Path, rejects: Path) -> None:
    currency = settings.ORDERS.currency
    if get_currency_precision(currency) != 2:
        raise UnusableFeed(f"A feed's prices have two decimals, those of {currency} have not.")
    if rejects.exists() and (not rejects.is_file() or rejects.samefile(file)):
        raise UnusableFeed(f"Rejects cannot replace {rejects}. Choose another place with --rejects.")


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
    Find the customer in whose name feeds order; nobody can log in as it.
    """
    users = get_user_model().objects
    account, _ = users.get_or_create(username=ACCOUNT, defaults={"password": make_password(None)})
    return int(account.pk)


def _stock(text: str) -> int:
    if not text.isdecimal() or int(text) > MAX_OPENING_STOCK:
        raise ArgumentTypeError(f"{text!r} is not a number between 0 and {MAX_OPENING_STOCK}.")
    return int(text)
