"""
The oracle: what must be true of stock, orders and money, computed without the code of the shop or of the provider, from
the actions of the simulation and the rows of the provider's ledger.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from django.db import connection

from messaging.kernel.databases import read_uuid

from .provider import SimulatedProvider

TRANSITIONS = {
    "placed": {"awaiting_payment", "confirmed", "cancelled", "refunded"},
    "awaiting_payment": {"confirmed", "cancelled", "refunded"},
    "confirmed": {"refunded"},
    "cancelled": set(),
    "refunded": set(),
}
"""The statuses that an order may have after one or several transitions."""

SOLD = {"confirmed", "refunded"}
PROMISED = SOLD | {"awaiting_payment"}
FINAL = SOLD | {"cancelled"}

MAX_CANCELLATIONS = 2


@dataclass
class ExpectedOrder:
    """
    An order, as its customer and the operator know it.
    """

    order_id: str
    quantities: Mapping[str, int]
    payment_method: str
    total: int
    status: str = "placed"
    cancel_reason: str = ""
    refunded: int = 0
    cancellations: int = 0
    """How often its customer tried to cancel it."""
    is_cancelled: bool = False
    """Whether the shop has confirmed to its customer that it is cancelled."""
    max_refunded: int = 0
    """The most that the operator's refunds can amount to."""

    @property
    def kept(self) -> int:
        """
        Return the amount of the customer's money that the shop may keep.
        """
        return self.total - self.refunded if self.status in SOLD else 0


@dataclass
class Account:
    """
    The rows of the provider's ledger about one charge.
    """

    key: str
    order_id: str = ""
    """Empty if the charge was only cancelled."""
    is_own: bool = False
    """Whether the shop requested or cancelled it; otherwise the customer paid the order by other means."""
    amount: int = 0
    """The requested amount, or what was captured of it."""
    statuses: list[str] = field(default_factory=list)
    captures: list[int] = field(default_factory=list)
    refunds: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    is_forged: bool = False
    """Whether a webhook claimed that it was captured when it was not. The shop may believe that until it reconciles."""

    @property
    def status(self) -> str:
        if self.captures:
            return "captured"
        return self.statuses[0] if self.statuses else "processing"

    @property
    def balance(self) -> int:
        return sum(self.captures) - sum(self.refunds.values())

    def add(self, kind: str, key: str, order_id: str, amount: int | None, reason: str) -> None:
        self.is_own |= kind in {"drawn", "cancelled"}
        match kind:
            case "charged":
                self.order_id, self.amount = order_id, amount or 0
            case "captured":
                self.captures.append(amount or 0)
                self.amount = amount or 0
            case "declined" | "cancelled":
                self.statuses.append(kind)
            case "refunded":
                self.refunds[key] = amount or 0
            case "refund declined":
                is_forged = self.is_forged and not self.captures
                assert reason == "refused" or is_forged, f"The shop refunded what is not refundable: {self}"
                self.refused[key] = amount or 0


@dataclass
class Books:
    provider: SimulatedProvider
    opening_stock: Mapping[str, int]
    orders: dict[str, ExpectedOrder] = field(default_factory=dict)
    _accounts: dict[str, Account] = field(default_factory=dict)
    _read_until: int = 0

    @property
    def accounts(self) -> list[Account]:
        """
        Return the charges that the provider accepted, oldest first.
        """
        query = "SELECT seq, charge, kind, key, order_id, amount, reason FROM entries WHERE seq > ? ORDER BY seq"
        for charge in self.provider.forged:
            self._accounts[charge].is_forged = True
        for seq, charge, *row in self.provider.ledger.select(query, self._read_until):
            self._accounts.setdefault(charge, Account(charge)).add(*row)
            self._read_until = seq
        return [account for account in self._accounts.values() if account.order_id]

    def accounts_of(self, order_id: str) -> list[Account]:
        return [account for account in self.accounts if account.order_id == order_id]

    def own_accounts(self, *statuses: str) -> list[Account]:
        """
        Return the charges that the shop requested and that have one of these statuses; without any, all of them.
        """
        return [it for it in self.accounts if it.is_own and (not statuses or it.status in statuses)]

    @property
    def cancellable(self) -> list[ExpectedOrder]:
        return [it for it in self.orders.values() if it.cancellations < MAX_CANCELLATIONS and not it.is_cancelled]

    def check(self) -> None:
        """
        Assert what is true at any time, whatever is in progress.
        """
        self._check_orders()
        self._check_stock()
        self._check_money()

    def quantities(self, statuses: Iterable[str]) -> Counter[str]:
        """
        Return the quantities of all orders with these statuses, by sku.
        """
        quantities: Counter[str] = Counter()
        for order in self.orders.values():
            if order.status in statuses:
                quantities.update(order.quantities)
        return quantities

    def _check_orders(self) -> None:
        for order_id, status, reason, refunded in rows("id, status, cancel_reason, refunded FROM orders_order"):
            order = self.orders[str(read_uuid(order_id))]
            assert status == order.status or status in TRANSITIONS[order.status], f"{order} has become {status}"
            assert not (order.is_cancelled and status != "cancelled"), f"{order} was cancelled, and is {status}"
            order.status, order.cancel_reason, order.refunded = status, reason, refunded
            assert refunded <= order.max_refunded or status == "cancelled", f"No operator refunded so much: {order}"

    def _check_stock(self) -> None:
        sold, promised = self.quantities(SOLD), self.quantities(PROMISED)
        for sku, on_hand, reserved in rows("sku, on_hand, reserved FROM inventory_stockitem"):
            opening = self.opening_stock[sku]
            assert 0 <= reserved <= on_hand, f"{sku}: {on_hand} on hand, {reserved} reserved"
            assert promised[sku] <= opening, f"{sku} is oversold: {promised[sku]} of {opening}"
            assert opening - sold[sku] <= on_hand <= opening, f"{sku}: {on_hand} on hand, {sold[sku]} sold"
            assert promised[sku] <= opening - on_hand + reserved, f"{sku}: not all that is promised is reserved"

    def _check_money(self) -> None:
        assert not self.provider.invalid_requests, self.provider.invalid_requests
        own: Counter[str] = Counter()
        for account in self.accounts:
            own[account.order_id] += account.is_own
            assert len(account.captures) <= 1, f"Captured twice with one key: {account}"
            assert account.balance >= 0, f"Refunded more than was captured: {account}"
        assert all(keys == 1 for keys in own.values()), f"An order was charged with several keys: {own}"
        for order in self.orders.values():
            is_paid = self.is_paid(order) or self.is_forged(order)
            assert order.status not in SOLD or is_paid, f"{order} was never paid: {self.accounts}"

    def is_paid(self, order: ExpectedOrder) -> bool:
        """
        Return whether the provider has captured the order's total, once, with the key of the shop.
        """
        captures = [it.captures for it in self.accounts_of(order.order_id) if it.is_own and it.captures]
        return captures == [[order.total]] if order.total else not captures

    def is_forged(self, order: ExpectedOrder) -> bool:
        """
        Return whether a webhook claimed a capture of the shop's charge for this order that was not made then.
        """
        return any(account.is_forged for account in self.accounts_of(order.order_id))


def rows(query: str) -> list[tuple]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {query}")
        return cursor.fetchall()
