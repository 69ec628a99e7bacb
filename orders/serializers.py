"""
Serializers and filters of products and orders.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from django import forms
from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db.models import Q, QuerySet
from django.http import QueryDict
from django.utils.translation import gettext_lazy as _
from django_filters import rest_framework as filters
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

from messaging.kernel.order_numbers import InvalidNumber, MistypedNumber, parse_number
from shop.http.fields import EmailText, Input, PhoneText, Rows, Text, WholeNumber

from .drafts import too_many_lines
from .models import HistoryEntry, Order, OrderLine, OrderRefund, Product
from .responses import LINE_FIELDS, REFUND_FIELDS, order_document, order_url

QUANTITY_OF_SKU = re.compile(r"quantity\[(.*)\]", re.DOTALL)
NUMBER = re.compile(r"-?[0-9]{1,18}", re.ASCII)
FORM_ONLY = {"csrfmiddlewaretoken", "idempotency_key"}
# Other timestamps, converted to UTC, may be out of a database's range.
STORABLE = [MinValueValidator(datetime(1970, 1, 1, tzinfo=UTC)), MaxValueValidator(datetime(9000, 1, 1, tzinfo=UTC))]


class LineInput(Input):
    code = "invalid_lines"

    sku = Text(code="invalid_sku")
    quantity = WholeNumber(code="invalid_quantity", max_value=2**31 - 1, min_value=1)


class Lines(Rows):
    """
    Lines of an order. If there are too many, none is validated: ten thousand would take seconds.
    """

    def run_child_validation(self, data: list[Any]) -> list[Any]:
        most = settings.ORDERS.max_lines
        if len(data) > most:
            raise ValidationError(too_many_lines(len(data), most), code="too_many_lines")
        rows: list[Any] = super().run_child_validation(data)
        return rows


class OrderInput(Input):
    lines = Lines(code="invalid_lines", child=LineInput())
    payment_method = Text(
        code="invalid_payment_method",
        max_length=64,
        validators=[RegexValidator(r"\A[!-~]+\Z", _("Send a token of visible ASCII characters."))],
        help_text="A token of the payment gateway.",
    )
    expected_total = WholeNumber(code="invalid_amount", min_value=0, help_text="Total you expect, in minor units.")
    currency = Text(code="currency_mismatch", required=False, help_text="The currency that you expect.")
    email = EmailText(
        code="invalid_email",
        required=False,
        allow_blank=True,
        help_text="Address for notifications; by default that of your account.",
    )
    phone = PhoneText(code="invalid_phone", required=False, allow_blank=True, help_text="In E.164 form.")
    note = Text(
        code="invalid_note",
        required=False,
        allow_blank=True,
        max_length=500,
        help_text="A note for the shop.",
    )


AVAILABLE = "How many can be ordered now, if few; null if more."


class ProductOutput(serializers.ModelSerializer[Product]):
    url = serializers.HyperlinkedIdentityField(view_name="orders:product-detail")
    price = serializers.IntegerField(help_text="In minor units, such as pence.")
    currency = serializers.SerializerMethodField()
    available = serializers.IntegerField(allow_null=True, help_text=AVAILABLE)

    class Meta:
        model = Product
        fields = ("url", "sku", "name", "price", "currency", "sold_out", "available", "picture")

    def get_currency(self, product: Product) -> str:
        return settings.ORDERS.currency


class LineOutput(serializers.ModelSerializer[OrderLine]):
    class Meta:
        model = OrderLine
        fields: tuple[str, ...] = LINE_FIELDS


class HistoryOutput(serializers.ModelSerializer[HistoryEntry]):
    class Meta:
        model = HistoryEntry
        fields = ("status", "at")


class OrderRefundOutput(serializers.ModelSerializer[OrderRefund]):
    class Meta:
        model = OrderRefund
        fields = (*REFUND_FIELDS, "at")


class QuoteLineOutput(LineOutput):
    available = serializers.SerializerMethodField(help_text=AVAILABLE)

    class Meta(LineOutput.Meta):
        fields = (*LINE_FIELDS, "available")

    def get_available(self, line: OrderLine) -> int | None:
        available: int | None = self.context["available"][line.sku]
        return available


class QuoteOutput(serializers.ModelSerializer[Order]):
    """
    The order that a basket would become. Its context names how many of each product are `available`.
    """

    lines = QuoteLineOutput(many=True, source="all_lines")
    in_stock = serializers.SerializerMethodField(help_text="Whether all of it is available now.")

    class Meta:
        model = Order
        fields = ("lines", "total", "currency", "in_stock")

    def get_in_stock(self, order: Order) -> bool:
        lines = [(line.quantity, self.context["available"][line.sku]) for line in order.all_lines]
        return all(available is None or quantity <= available for quantity, available in lines)


class OrderOutput(serializers.ModelSerializer[Order]):
    url = serializers.HyperlinkedIdentityField(view_name="orders:order-detail")
    is_open = serializers.BooleanField(help_text="Whether the order is in progress; follow it while it is.")
    lines = LineOutput(many=True, source="all_lines")
    history = HistoryOutput(many=True, source="steps")
    refunds = OrderRefundOutput(many=True, source="all_refunds")

    class Meta:
        model = Order
        fields = (
            "url",
            "id",
            "number",
            "status",
            "is_open",
            "cancel_reason",
            "currency",
            "total",
            "refunded",
            "email",
            "phone",
            "note",
            "placed_at",
            "lines",
            "history",
            "refunds",
        )

    def to_representation(self, order: Order) -> dict[str, Any]:
        return order_document(order, url=order_url(order, base_url=base_url_of(self.context["request"])))


def base_url_of(request: Request) -> str:
    """
    Return scheme and host of the shop as the client addressed it.
    """
    return f"{request.scheme}://{request.get_host()}"


class ProductFilter(filters.FilterSet):
    search = filters.CharFilter(method="filter_search", max_length=100, help_text="A part of the name or sku.")

    sold_out = filters.TypedChoiceFilter(choices=[("true", "Yes"), ("false", "No")], coerce="true".__eq__)

    class Meta:
        model = Product
        fields = ()

    def filter_search(self, products: QuerySet[Product], name: str, words: str) -> QuerySet[Product]:
        return products.filter(Q(name__icontains=words) | Q(sku__icontains=words))


class UtcDateTimeFilter(filters.IsoDateTimeFilter):
    """
    A timestamp, converted to UTC: PostgreSQL rejects some offsets.
    """

    def filter(self, queryset: QuerySet[Any], value: datetime | None) -> QuerySet[Any]:
        filtered: QuerySet[Any] = super().filter(queryset, value and value.astimezone(UTC))
        return filtered


class OrderNumberField(forms.CharField):
    """
    An order number, however a person writes it.
    """

    def clean(self, value: Any) -> str:
        text: str = super().clean(value)
        try:
            return parse_number(text) if text else ""
        except MistypedNumber as error:
            raise forms.ValidationError(_("This order number is mistyped: no order can have it.")) from error
        except InvalidNumber as error:
            raise forms.ValidationError(_("This is not an order number such as K7Q4-M2X0.")) from error


class OrderNumberFilter(filters.CharFilter):
    field_class = OrderNumberField


class OrderFilter(filters.FilterSet):
    number = OrderNumberFilter(max_length=40, help_text="The order's number, with or without hyphen, in any case.")
    placed_after = UtcDateTimeFilter("placed_at", "gte", help_text="ISO 8601, inclusive.", validators=STORABLE)
    placed_before = UtcDateTimeFilter("placed_at", "lt", help_text="ISO 8601, exclusive.", validators=STORABLE)

    class Meta:
        model = Order
        fields = ("status",)


def order_fields(form: QueryDict) -> dict[str, Any]:
    """
    Return a submitted checkout form as the JSON that a program would send, without empty fields.
    """
    fields: dict[str, Any] = {
        name: value
        for name, value in form.items()
        if value and name not in FORM_ONLY and not QUANTITY_OF_SKU.fullmatch(name)
    }
    if "expected_total" in fields:
        fields["expected_total"] = _number(fields["expected_total"])
    return fields | {"lines": list(lines_of(form))}


def lines_of(query: QueryDict) -> Iterator[dict[str, Any]]:
    """
    Yield `quantity[RED-CHAIR]=2` as a line, unless the quantity is empty or 0.
    """
    for name, value in query.items():
        sku = QUANTITY_OF_SKU.fullmatch(name)
        if sku and value not in {"", "0"}:
            yield {"sku": sku[1], "quantity": _number(str(value))}


def _number(text: str) -> int | str:
    return int(text) if NUMBER.fullmatch(text) else text
