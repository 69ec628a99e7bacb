"""
Stock: counters per sku, reservations, and the ledger of movements.
"""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from django.db import models
from django.db.models import F, Q

from messaging.kernel.ids import new_id

LATEST_MOVEMENTS = 20

RUNNING_OUT = 5
"""An item with this many left, or fewer, is about to run out: customers see how many."""


class StockItemQuerySet(models.QuerySet["StockItem"]):
    def locked(self, skus: Iterable[str]) -> dict[str, "StockItem"]:
        """
        Return these items by sku with their rows locked, in the order of their skus, which avoids deadlocks.
        """
        return {item.sku: item for item in self.filter(sku__any=set(skus)).select_for_update().order_by("sku")}

    def running_out(self) -> models.QuerySet[Any]:
        """
        Return the items that are about to run out, without those that are sold out, with `left`: how many of each can
        still be ordered.
        """
        rows: models.QuerySet[Any] = self.annotate(left=F("on_hand") - F("reserved"))
        return rows.filter(left__gt=0, left__lte=RUNNING_OUT)

    def sold_out(self) -> "StockItemQuerySet":
        return self.filter(on_hand=F("reserved"))

    def write_back(self, items: Iterable["StockItem"]) -> None:
        """
        Store the counters of locked items in one statement (an upsert, for a portable update of many rows).
        """
        counters = ["on_hand", "reserved", "revision"]
        self.bulk_create(items, update_conflicts=True, unique_fields=["sku"], update_fields=counters)


class StockItem(models.Model):
    sku = models.CharField(max_length=64, primary_key=True)
    on_hand = models.BigIntegerField(default=0, help_text="In the warehouse, reserved or not.")
    reserved = models.BigIntegerField(default=0, help_text="For orders that are not confirmed yet.")
    revision = models.BigIntegerField(default=0, help_text="Number of changes that customers were told of.")

    objects = StockItemQuerySet.as_manager()

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(reserved__gte=0), name="reserved_not_negative"),
            models.CheckConstraint(condition=Q(on_hand__gte=F("reserved")), name="promised_within_on_hand"),
        ]

    def __str__(self) -> str:
        return self.sku

    @property
    def available(self) -> int:
        return self.on_hand - self.reserved

    def next_revision(self) -> int:
        self.revision += 1
        return self.revision

    @property
    def latest_movements(self) -> models.QuerySet["StockMovement"]:
        return StockMovement.objects.filter(sku=self.sku).order_by("-id")[:LATEST_MOVEMENTS]


class ReservationQuerySet(models.QuerySet["Reservation"]):
    def locked(self, order_ids: Iterable[str]) -> list["Reservation"]:
        """
        Return these orders' reservations with their lines, and with their rows locked.
        """
        orders = self.filter(order_id__any=order_ids)
        return list(orders.select_for_update().order_by("order_id").prefetch_related("lines"))


class Reservation(models.Model):
    """
    The reservation of an order's entire stock. A released one without lines blocks any later reservation.
    """

    class Status(models.TextChoices):
        HELD = "held"
        """Its quantities count as reserved. -> committed, released"""
        COMMITTED = "committed"
        """Its stock was shipped. Final."""
        RELEASED = "released"
        """Its stock is available again; without lines, the order was cancelled before any was reserved. Final."""

    TRANSITIONS: ClassVar[Mapping[str, frozenset[str]]] = {
        Status.HELD: frozenset({Status.COMMITTED, Status.RELEASED}),
        Status.COMMITTED: frozenset(),
        Status.RELEASED: frozenset(),
    }

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    order_id = models.UUIDField(unique=True)
    status = models.CharField(max_length=10, choices=Status, default=Status.HELD)
    created_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)

    objects = ReservationQuerySet.as_manager()

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(status="held", ended_at__isnull=True) | (~Q(status="held") & Q(ended_at__isnull=False)),
                name="reservation_held_until_it_ends",
            )
        ]

    def __str__(self) -> str:
        return f"{self.order_id}: {self.status}"


class ReservationLine(models.Model):
    reservation = models.ForeignKey(Reservation, on_delete=models.CASCADE, related_name="lines", db_index=False)
    sku = models.CharField(max_length=64)
    quantity = models.PositiveIntegerField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["reservation", "sku"], name="one_reservation_line_per_sku"),
            models.CheckConstraint(condition=Q(quantity__gt=0), name="reserved_quantity_positive"),
        ]

    def __str__(self) -> str:
        return f"{self.quantity} x {self.sku}"


class StockMovement(models.Model):
    """
    An entry of the append-only ledger. The quantities of a sku add up to its stock on hand.
    """

    class MovementKind(models.TextChoices):
        OPENING = "opening"
        """Initial stock, once per sku."""
        RECEIVED = "received"
        """Delivered to the warehouse, or found by a stock count."""
        WITHDRAWN = "withdrawn"
        """Removed other than by a sale, or missing in a stock count."""
        SHIPPED = "shipped"
        """Shipped for a confirmed order, once per order and sku."""

    sku = models.CharField(max_length=64)
    kind = models.CharField(max_length=10, choices=MovementKind)
    quantity = models.BigIntegerField(help_text="Change of the stock on hand; negative for outgoing stock.")
    order_id = models.UUIDField(null=True)
    at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["order_id", "sku"], condition=Q(kind="shipped"), name="shipped_once_per_order_and_sku"
            ),
            models.UniqueConstraint(fields=["sku"], condition=Q(kind="opening"), name="opened_once"),
            models.CheckConstraint(
                condition=Q(kind__in=["shipped", "withdrawn"], quantity__lt=0)
                | Q(kind__in=["opening", "received"], quantity__gt=0),
                name="movement_in_its_direction",
            ),
            models.CheckConstraint(
                condition=Q(kind="shipped", order_id__isnull=False) | (~Q(kind="shipped") & Q(order_id__isnull=True)),
                name="shipped_for_an_order",
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["sku", "-id"], name="movements_of_a_sku")]

    def __str__(self) -> str:
        return f"{self.kind} {self.quantity} x {self.sku}"
