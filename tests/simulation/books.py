"""
What must be true of stock, orders and money, reckoned without the shop's own code from what people did and what the
bank has in its ledger.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from django.db import connection

from messaging.kernel.databases import read_uuid

from .bank import Bank

MOVES = {
    "placed": {"awaiting_payment", "confirmed", "cancelled", "refunded"},
    "awaiting_payment": {"confirmed", "cancelled", "refunded"},
    "confirmed": {"refunded"},
    "cancelled": set(),
    "refunded": set(),
}
"""What an order may have become since it was looked at, in one move or several."""

SOLD = {"confirmed", "refunded"}
PROMISED = SOLD | {"awaiting_payment"}
FINAL = SOLD | {"cancelled"}

TWICE = 2


@dataclass
class Story:
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
    calls_off: int = 0
    """How often its customer wanted it cancelled."""
    is_called_off: bool = False
    """Its customer was told that it is cancelled."""
    given_back: int = 0
    """The most that the operator can have given back of it."""

    @property
    def entitled(self) -> int:
        """
        Tell how much of the customer's money the shop may keep.
        """
        return self.total - self.refunded if self.status in SOLD else 0


@dataclass
class Books:
    bank: Bank
    opened_with: Mapping[str, int]
    stories: dict[str, Story] = field(default_factory=dict)

    @property
    def not_called_off(self) -> list[Story]:
        return [story for story in self.stories.values() if story.calls_off < TWICE and not story.is_called_off]

    def look(self) -> None:
        """
        See that nothing is wrong at this moment, whatever may be under way.
        """
        self._look_at_orders()
        self._look_at_stock()
        self._look_at_money()

    def taken(self, statuses: Iterable[str]) -> Counter[str]:
        """
        Add up what orders of these statuses took, by sku.
        """
        taken: Counter[str] = Counter()
        for story in self.stories.values():
            if story.status in statuses:
                taken.update(story.quantities)
        return taken

    def _look_at_orders(self) -> None:
        for order_id, status, reason, refunded in rows("id, status, cancel_reason, refunded FROM orders_order"):
            story = self.stories[str(read_uuid(order_id))]
            moved = story.status != status
            assert not moved or status in MOVES[story.status], f"{story} has become {status}"
            assert not (story.is_called_off and status != "cancelled"), f"{story} was called off, and is {status}"
            story.status, story.cancel_reason, story.refunded = status, reason, refunded
            assert refunded <= story.given_back or status == "cancelled", f"Nobody gave so much back: {story}"

    def _look_at_stock(self) -> None:
        sold, promised = self.taken(SOLD), self.taken(PROMISED)
        for sku, on_hand, reserved in rows("sku, on_hand, reserved FROM inventory_stockitem"):
            opened_with = self.opened_with[sku]
            assert 0 <= reserved <= on_hand, f"{sku}: {on_hand} on hand, {reserved} reserved"
            assert promised[sku] <= opened_with, f"{sku} is oversold: {promised[sku]} of {opened_with}"
            assert opened_with - sold[sku] <= on_hand <= opened_with, f"{sku}: {on_hand} on hand, {sold[sku]} sold"
            assert promised[sku] <= opened_with - on_hand + reserved, f"{sku}: not all is held for whom it is promised"

    def _look_at_money(self) -> None:
        assert not self.bank.blunders, self.bank.blunders
        ours: Counter[str] = Counter()
        for entry in self.bank.entries.values():
            ours[entry.order_id] += entry.is_ours
            assert len(entry.captures) <= 1, f"Captured twice by one key: {entry}"
            assert entry.stays >= 0, f"More went back than came: {entry}"
        assert all(keys == 1 for keys in ours.values()), f"An order was charged by several keys: {ours}"
        for story in self.stories.values():
            assert story.status not in SOLD or self.is_paid(story), f"{story} was never paid: {self.bank.entries}"

    def is_paid(self, story: Story) -> bool:
        """
        Tell whether the bank has captured what an order costs, by the key that we charge it by.
        """
        paid = [it.amount for it in self.bank.of_order(story.order_id) if it.is_ours and it.captures]
        return paid == [story.total] if story.total else not paid


def rows(query: str) -> list[tuple]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {query}")
        return cursor.fetchall()
