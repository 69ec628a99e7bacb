"""
Products, and orders with their lines, history and refunds. An order's row is the complete state of its process.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import ClassVar, NamedTuple

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import F, Prefetch, Q
from django.db.models.functions import Lower

from messaging.kernel.databases import Row, Statement, bulk_copy_instances, fetch_all, placeholders
from messaging.kernel.ids import new_id
from messaging.kernel.lookups import Bytewise
from messaging.kernel.money import money
from messaging.kernel.state_machine import InvalidTransition

Identity = tuple[int, str]
"""Customer and idempotency key: equal for requests for the same order."""

OFFER_FIELDS = ("sku", "name", "price", "active")
ON_OFFER = f"SELECT {', '.join(OFFER_FIELDS)} FROM orders_product WHERE sku IN ({{skus}})"  # noqa: S608

QUOTA = """
    SELECT EXISTS (SELECT 1 FROM orders_order WHERE customer_id = %s AND idempotency_key = %s),
        (SELECT COUNT(*) FROM orders_order WHERE customer_id = %s AND status IN ('placed', 'awaiting_payment'))
"""


class ProductQuerySet(models.QuerySet["Product"]):
    def on_offer(self, skus: Collection[str]) -> dict[str, "Product"]:
        """
        Return the products of one order by sku, with the fields that its validation reads.
        """
        return self.from_offer(fetch_all(self.offer_statement(skus)))

    def available(self, skus: Collection[str]) -> dict[str, int | None]:
        """
        Return how many of each of these products can be ordered now, if few; None if more.
        """
        return {product.sku: product.available for product in self.filter(sku__in=skus).only("sold_out", "few_left")}

    def offer_statement(self, skus: Collection[str]) -> Statement:
        """
        Return the statement that reads the products of one order, for `from_offer`.
        """
        wanted = [*skus] or [""]  # no product has an empty sku
        return Statement(ON_OFFER.format(skus=placeholders(wanted)), wanted)

    def from_offer(self, rows: Iterable[Row]) -> dict[str, "Product"]:
        """
        Return the products in the rows of `offer_statement`, by sku.
        """
        return {sku: Product.from_db(self.db, OFFER_FIELDS, [sku, *rest]) for sku, *rest in rows}


def validate_picture(address: str) -> None:
    """
    Accept what the pages' Content-Security-Policy lets browsers load.

    :raises ValidationError: for another address.
    """
    origin = settings.SHOP.picture_origin
    is_path = address.startswith("/") and not address.startswith(("//", "/\\"))
    if not (is_path or (origin and address.startswith(f"{origin}/"))):
        raise ValidationError(
            f"Enter a path that begins with /, or an address at {origin}/."
            if origin
            else "Enter a path that begins with /, or set PICTURE_ORIGIN to the origin of your pictures."
        )


class Product(models.Model):
    sku = models.CharField(max_length=64, primary_key=True)
    name = models.CharField(max_length=200)
    price = models.BigIntegerField(help_text="In minor units, such as pence.")
    active = models.BooleanField(default=True, help_text="Whether customers can see and order it.")
    sold_out = models.BooleanField(default=True, help_text="True until inventory reports stock.")
    few_left = models.PositiveSmallIntegerField(
        null=True, blank=True, editable=False, help_text="How many can be ordered, if few."
    )
    stock_revision = models.BigIntegerField(
        default=0, editable=False, help_text="Revision of the stock item that `sold_out` and `few_left` reflect."
    )
    picture = models.CharField(
        max_length=500,
        blank=True,
        db_default="",
        validators=[validate_picture],
        help_text="Address of a picture: a path of this shop such as /static/chair.webp, or at PICTURE_ORIGIN.",
    )

    objects = ProductQuerySet.as_manager()

    class Meta:
        constraints: ClassVar = [models.CheckConstraint(condition=Q(price__gte=0), name="product_price_not_negative")]

    def __str__(self) -> str:
        return self.sku

    @property
    def available(self) -> int | None:
        """
        Return how many can be ordered now, if few; None if more.
        """
        return 0 if self.sold_out else self.few_left


class CustomerQuota(NamedTuple):
    """
    What limits a customer's next order under an idempotency key.
    """

    key_is_used: bool
    open_orders: int


class OrderQuerySet(models.QuerySet["Order"]):
    def quota_statement(self, identity: Identity) -> Statement:
        """
        Return the statement whose row is a `CustomerQuota`: whether the identity was used before, and the number of its
        customer's open orders.
        """
        return Statement(QUOTA, [*identity, identity[0]])

    def locked(self, ids: Iterable[str]) -> list["Order"]:
        """
        Return these orders with their rows locked, in the order of their ids, which avoids deadlocks.
        """
        return list(self.filter(pk__any=ids).select_for_update().order_by("pk"))

    def insert_new(self, orders: Iterable["Order"]) -> None:
        """
        Insert the orders whose identity and number are new, sorted by identity, which avoids deadlocks.
        """
        self.bulk_create(sorted(orders, key=lambda order: order.identity), ignore_conflicts=True)

    def with_parts(self) -> "OrderQuerySet":
        """
        Prefetch lines, history and refunds as `all_lines`, `steps` and `all_refunds`.
        """
        return self.prefetch_related(  # type: ignore[no-redef]  # the model declares these attributes
            Prefetch("lines", OrderLine.objects.order_by("id"), to_attr="all_lines"),
            Prefetch("history", HistoryEntry.objects.order_by("id"), to_attr="steps"),
            Prefetch("refunds", OrderRefund.objects.order_by("at", "refund_id"), to_attr="all_refunds"),
        )

    def by_identity(self, identities: Sequence[Identity]) -> dict[Identity, "Order"]:
        """
        Return the existing orders by identity.
        """
        customers, keys = {customer for customer, _ in identities}, [key for _, key in identities]
        return {order.identity: order for order in self.filter(customer_id__in=customers, idempotency_key__in=keys)}


class Order(models.Model):
    class Status(models.TextChoices):
        PLACED = "placed"
        """Stored; its stock is being reserved. -> awaiting_payment, cancelled"""
        AWAITING_PAYMENT = "awaiting_payment"
        """Its stock is held and its payment requested, until it is overdue. -> confirmed, cancelled"""
        CONFIRMED = "confirmed"
        """Paid; its stock is committed. -> refunded"""
        CANCELLED = "cancelled"
        """Ended for `cancel_reason`: it holds no stock, and captured money is refunded. Final."""
        REFUNDED = "refunded"
        """Was confirmed, then refunded in full. Final."""

    class CancelReason(models.TextChoices):
        OUT_OF_STOCK = "out_of_stock"
        PAYMENT_FAILED = "payment_failed"
        EXPIRED = "expired"
        BY_CUSTOMER = "by_customer"
        BY_OPERATOR = "by_operator"

    OPEN: ClassVar = frozenset({Status.PLACED, Status.AWAITING_PAYMENT})
    TRANSITIONS: ClassVar[Mapping[str, frozenset[str]]] = {
        Status.PLACED: frozenset({Status.AWAITING_PAYMENT, Status.CANCELLED}),
        Status.AWAITING_PAYMENT: frozenset({Status.CONFIRMED, Status.CANCELLED}),
        Status.CONFIRMED: frozenset({Status.REFUNDED}),
        Status.CANCELLED: frozenset(),
        Status.REFUNDED: frozenset(),
    }

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    # The database's default is for orders that the previous release places while this one replaces it.
    number = models.CharField(
        max_length=9, default="", db_default="", editable=False, help_text="The reference for people."
    )
    customer = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="orders")
    idempotency_key = models.CharField(max_length=255, help_text="One order per customer and key.")
    fingerprint = models.CharField(max_length=64, help_text="Digest of the request, to recognise repeated requests.")
    status = models.CharField(max_length=20, choices=Status, default=Status.PLACED)
    cancel_reason = models.CharField(max_length=20, choices=CancelReason, blank=True)
    currency = models.CharField(max_length=3)
    total = models.BigIntegerField(help_text="In minor units, such as pence.")
    refunded = models.BigIntegerField(
        default=0, help_text="Of the total, without surplus money. In minor units, such as pence."
    )
    email = models.EmailField(blank=True)
    phone = models.CharField(max_length=16, blank=True, help_text="In E.164 form.")
    language = models.CharField(
        max_length=10, blank=True, default="", db_default="", help_text="The customer's; empty for the shop's."
    )
    note = models.CharField(max_length=500, blank=True, help_text="The customer's note for the shop.")
    payment_method = models.CharField(max_length=64)
    placed_at = models.DateTimeField()

    all_lines: Sequence["OrderLine"]
    """Set on a new order, or by `with_parts`."""
    steps: Sequence["HistoryEntry"]
    """The history, set likewise."""
    all_refunds: Sequence["OrderRefund"]
    """Set likewise."""

    objects = OrderQuerySet.as_manager()

    class Meta:
        permissions = (("export_order", "Can export orders"),)
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["customer", "idempotency_key"], name="one_order_per_idempotency_key"),
            models.UniqueConstraint(fields=["number"], condition=~Q(number=""), name="one_order_per_number"),
            models.CheckConstraint(condition=~Q(number=""), name="order_has_a_number"),
            models.CheckConstraint(condition=Q(total__gte=0), name="order_total_not_negative"),
            models.CheckConstraint(
                condition=Q(refunded__gte=0) & Q(refunded__lte=F("total")), name="order_refunded_within_total"
            ),
            models.CheckConstraint(
                condition=(Q(status="cancelled") & ~Q(cancel_reason=""))
                | (~Q(status="cancelled") & Q(cancel_reason="")),
                name="order_cancelled_for_a_reason",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["customer", "-id"], name="orders_of_a_customer"),
            models.Index(
                fields=["customer"],
                condition=Q(status__in=["placed", "awaiting_payment"]),
                name="open_orders_of_a_customer",
            ),
            # Operators find orders by these.
            models.Index(Bytewise(Lower("email")), name="orders_by_email"),
            models.Index(fields=["phone"], name="orders_by_phone"),
            models.Index(fields=["idempotency_key"], name="orders_by_key"),
        ]

    def __str__(self) -> str:
        return self.number

    @property
    def identity(self) -> Identity:
        return self.customer_id, self.idempotency_key

    @property
    def is_open(self) -> bool:
        return self.status in self.OPEN

    @property
    def etag(self) -> str:
        """
        Return a weak entity tag (RFC 9110) of the order's state: no state recurs, and the other fields never change. A
        refund of surplus money changes only the number of refunds.
        """
        return f'W/"{self.status}-{self.refunded}-{len(self.all_refunds)}"'

    def may_become(self, status: str) -> bool:
        return status in self.TRANSITIONS[self.status]

    @classmethod
    def move_to(cls, status: str, orders: Sequence["Order"], *, now: datetime, cancel_reason: str = "") -> None:
        """
        Move these locked orders along `TRANSITIONS`, and write their history.

        :raises InvalidTransition: if one of them may not become `status`, or has moved meanwhile.
        """
        steps = [HistoryEntry(order=order, previous=order.status, status=status, at=now) for order in orders]
        sources = [source for source, targets in cls.TRANSITIONS.items() if status in targets]
        ids = [order.pk for order in orders]
        moved = cls.objects.filter(pk__any=ids, status__in=sources).update(status=status, cancel_reason=cancel_reason)
        if moved != len(orders):
            raise InvalidTransition(f"{len(orders) - moved} of {len(orders)} orders may not become {status}.")
        bulk_copy_instances(steps)
        for order in orders:
            order.status, order.cancel_reason = status, cancel_reason


class StoredResponse(models.Model):
    """
    The response body of the request that placed an order. A repeated request gets it again, byte for byte.
    """

    order = models.OneToOneField(Order, on_delete=models.CASCADE, primary_key=True, related_name="first_answer")
    body = models.BinaryField()

    class Meta:
        db_table = "orders_firstanswer"

    def __str__(self) -> str:
        return str(self.order_id)


class OrderLine(models.Model):
    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="lines", db_index=False)
    sku = models.CharField(max_length=64)
    name = models.CharField(max_length=200)
    quantity = models.PositiveIntegerField()
    unit_price = models.BigIntegerField(help_text="In minor units, such as pence.")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["order", "sku", "unit_price"], name="one_line_per_sku_and_price"),
            models.CheckConstraint(condition=Q(quantity__gt=0), name="line_quantity_positive"),
            models.CheckConstraint(condition=Q(unit_price__gte=0), name="line_price_not_negative"),
        ]
        indexes: ClassVar = [models.Index(fields=["sku", "-id"], name="lines_of_a_sku")]

    def __str__(self) -> str:
        return f"{self.quantity} x {self.sku}"


class HistoryEntry(models.Model):
    """
    One transition of an order, append-only.
    """

    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="history")
    previous = models.CharField(max_length=20, blank=True)
    status = models.CharField(max_length=20)
    at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "history entries"

    def __str__(self) -> str:
        return f"{self.previous or 'new'} -> {self.status}"


class OrderRefund(models.Model):
    """
    Money that was given back to the customer of an order, append-only: one row per refund of payments. Surplus money,
    such as a second payment, may have another currency than the order.
    """

    class Cause(models.TextChoices):
        OPERATOR = "operator"
        CANCELLED = "cancelled"
        LATE = "late"
        DOUBLE = "double"
        WRONG_AMOUNT = "wrong_amount"

    refund_id = models.UUIDField(primary_key=True, editable=False)
    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="refunds")
    amount = models.BigIntegerField(help_text="In minor units, such as pence.")
    currency = models.CharField(max_length=3)
    surplus = models.BooleanField(help_text="Whether the order did not ask for this money: it is no part of its total.")
    cause = models.CharField(
        max_length=40, choices=Cause, blank=True, help_text="Empty if an earlier release refunded it."
    )
    reason = models.CharField(
        max_length=100,
        blank=True,
        default="",
        db_default="",
        help_text="As an operator wrote it for the customer.",
    )
    at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="order_refund_amount_positive"),
        ]

    def __str__(self) -> str:
        return f"{money(self.amount, self.currency)} of {self.order_id}"


class OrderNote(models.Model):
    """
    What an operator wrote about an order, for other operators; append-only.
    """

    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="notes")
    text = models.CharField(max_length=2_000)
    author = models.CharField(max_length=150, help_text="The operator's username.")
    at = models.DateTimeField()

    def __str__(self) -> str:
        return f"note of {self.author}"
