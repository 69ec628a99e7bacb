"""
The products of the shop, and the orders of the authenticated customer.
"""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, cast

from django.db.models import QuerySet
from django.http import HttpResponse, HttpResponseBase, QueryDict
from django.utils import timezone
from django.utils.cache import get_conditional_response
from django.utils.translation import gettext
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import generics, mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import APIException, ErrorDetail, ValidationError
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from messaging.kernel.databases import Busy
from shop.http.exceptions import Conflict, InvalidHeader, RequestInProgress, Unprocessable
from shop.http.fields import Input
from shop.http.views import ShopView, language_of, user_of

from . import placing, services
from .drafts import SKU, Draft, DraftLine, OrderProblem
from .long_polling import wait_for_change
from .models import Order, Product
from .responses import order_url
from .serializers import (
    QUANTITY_OF_SKU,
    LineInput,
    OrderFilter,
    OrderInput,
    OrderOutput,
    ProductFilter,
    ProductOutput,
    QuoteOutput,
    base_url_of,
    lines_of,
    order_fields,
)

IDEMPOTENCY_KEY = re.compile(r'(?P<quote>"?)(?P<key>[!#-+\--\[\]-~]{1,255})(?P=quote)', re.ASCII)

CHECKOUT = "checkout"
"""The key of the session under which the checkout form keeps what the customer typed."""
CHECKOUT_FIELDS = ("payment_method", "email", "phone", "note")

BASKET_ERRORS = (
    "empty_order",
    "invalid_lines",
    "invalid_quantity",
    "invalid_sku",
    "quantity_too_large",
    "sku_not_available",
    "too_many_lines",
    "total_too_large",
    "unknown_sku",
)

QUANTITIES = OpenApiParameter(
    "quantity",
    {"type": "object", "additionalProperties": {"type": "integer", "minimum": 0}, "example": {"RED-CHAIR": 2}},
    style="deepObject",
    description="Quantity of each product, by sku.",
)


class ProductViewSet(ShopView, viewsets.ReadOnlyModelViewSet[Product]):
    """
    The products on offer. Prices are in minor units, such as pence.
    """

    queryset = Product.objects.filter(active=True)
    serializer_class = ProductOutput
    permission_classes = (AllowAny,)
    filterset_class = ProductFilter
    pages = {"list": "orders/products.html", "retrieve": "orders/product.html"}
    # The page of the products keeps the basket in its URL.
    extra_parameters = QUANTITY_OF_SKU
    ordering = "sku"
    lookup_value_regex = SKU.pattern


class Quote(ShopView, generics.GenericAPIView[Order]):
    """
    The current price of a basket: `?quantity[RED-CHAIR]=2`. Nothing is ordered or reserved.
    """

    serializer_class = QuoteOutput
    pages = {"get": "orders/quote.html"}
    error_links = {"get": "orders/quote_error_links.html"}
    error_codes = {"get": (*BASKET_ERRORS, "invalid_parameter")}
    # The form of the products page sends its search along.
    extra_parameters = re.compile(f"{QUANTITY_OF_SKU.pattern}|search|sold_out", re.DOTALL)

    @extend_schema(parameters=[QUANTITIES])
    def get(self, request: Request) -> Response:
        self.filter_queryset(Order.objects.none())
        lines = [_line_of_query(line) for line in lines_of(request.query_params)]
        draft = Draft(customer_id=user_of(request).pk, lines=lines, payment_method="")
        try:
            order = placing.preview(draft, now=timezone.now())
        except placing.InvalidOrder as error:
            errors = {_parameter(problem.field, lines): _details(problem) for problem in error.problems}
            raise ValidationError(errors) from error
        return Response(QuoteOutput(order, context={"available": Product.objects.available(draft.skus)}).data)


class OrderViewSet(ShopView, mixins.RetrieveModelMixin, mixins.ListModelMixin, viewsets.GenericViewSet[Order]):
    """
    Your orders, newest first.
    """

    serializer_class = OrderOutput
    filterset_class = OrderFilter
    pages = {"list": "orders/orders.html", "retrieve": "orders/order.html"}
    error_links = {"create": "orders/order_error_links.html"}
    error_codes = {"create": (*BASKET_ERRORS, "price_changed", "too_many_open_orders"), "cancel": ("invalid_state",)}
    headers_read = {"create": ("Idempotency-Key", "traceparent"), "retrieve": ("If-None-Match", "Prefer")}
    headers_sent = {"create": ("Idempotent-Replayed", "Location"), "retrieve": ("ETag", "Preference-Applied")}

    def get_queryset(self) -> QuerySet[Order]:
        return Order.objects.filter(customer=self.request.user.pk).with_parts()

    def get_serializer_class(self) -> type[serializers.BaseSerializer[Any]]:
        return OrderInput if self.action == "create" else self.serializer_class

    @extend_schema(responses={201: OrderOutput})
    def create(self, request: Request) -> HttpResponseBase:
        """
        Place an order. The response 201 means that it is stored; follow it until `is_open` is false.
        """
        draft = _draft(request)
        try:
            placed = placing.place_order(draft, base_url=base_url_of(request), now=timezone.now())
        except placing.InvalidOrder as error:
            raise _as_api_exception(error) from error
        except placing.IdempotencyKeyReused as error:
            raise Unprocessable(str(error), code="idempotency_key_reused") from error
        except placing.TooManyOpenOrders as error:
            raise Conflict(str(error), code="too_many_open_orders") from error
        except Busy as error:
            raise RequestInProgress from error
        return self._placed_response(placed)

    def retrieve(  # type: ignore[override]  # a 304 is a response of Django
        self, request: Request, *args: Any, **kwargs: Any
    ) -> HttpResponseBase:
        """
        Retrieve an order. Send its ETag as `If-None-Match` to poll cheaply, with `Prefer: wait=20` to get the response
        when the order changes, or after that many seconds.
        """
        order = self.get_object()
        preference = wait_for_change(order, request.headers)
        if preference:
            order = self.get_object()
        full = Response(self.get_serializer(order).data)
        conditional = get_conditional_response(request._request, etag=order.etag, response=full)  # noqa: SLF001
        response = full if conditional is None else conditional
        for name, value in {"ETag": order.etag, "Cache-Control": "private, no-cache", **preference}.items():
            response.headers[name] = value
        return response

    @extend_schema(request=None, responses=OrderOutput)
    @action(detail=True, methods=["post"], serializer_class=serializers.Serializer)
    def cancel(self, request: Request, pk: str) -> Response:
        """
        Cancel an order that is not final yet. Captured money is refunded automatically.
        """
        order = self.get_object()
        if not _is_form(request):
            Input.check(request.data)
        try:
            with suppress(services.AlreadyCancelled):
                services.cancel_order(str(order.pk), reason=Order.CancelReason.BY_CUSTOMER, now=timezone.now())
        except services.CannotCancel as error:
            raise Conflict(str(error), code="invalid_state") from error
        if not _accepts_json(request):
            location = order_url(order, base_url=base_url_of(request))
            return Response(status=status.HTTP_303_SEE_OTHER, headers={"Location": location})
        return Response(OrderOutput(self.get_object(), context=self.get_serializer_context()).data)

    def _placed_response(self, placed: placing.PlacedOrder) -> HttpResponseBase:
        headers = {"Location": placed.url}
        if not placed.is_new:
            headers["Idempotent-Replayed"] = "true"
        if not _accepts_json(self.request):
            self.request.session.pop(CHECKOUT, None)
            return Response(status=status.HTTP_303_SEE_OTHER, headers=headers)
        return HttpResponse(placed.response_body, status=201, headers=headers, content_type="application/json")


def _draft(request: Request) -> Draft:
    key = _idempotency_key(request)
    fields = _fields_of_form(request) if _is_form(request) else OrderInput.read(request)
    lines = [DraftLine(**line) for line in fields.pop("lines")]
    user = user_of(request)
    return Draft(
        customer_id=user.pk,
        lines=lines,
        idempotency_key=key,
        account_email=user.email,
        language=language_of(user),
        **fields,
    )


def _fields_of_form(request: Request) -> dict[str, Any]:
    """
    Read the checkout form, and keep in the session what the customer typed, for the form to show it again if the order
    is rejected. No URL contains it.
    """
    form = cast("QueryDict", request.data)
    request.session[CHECKOUT] = {name: form.get(name, "") for name in CHECKOUT_FIELDS}
    return OrderInput.check(order_fields(form))


def _line_of_query(line: Mapping[str, Any]) -> DraftLine:
    try:
        return DraftLine(**LineInput.check(line))
    except ValidationError as error:
        by_field = cast("dict[str, list[ErrorDetail]]", error.detail)
        details = [detail for of_field in by_field.values() for detail in of_field]
        raise ValidationError({f"quantity[{line['sku']}]": details}) from error


def _parameter(field: str, lines: Sequence[DraftLine]) -> str:
    """
    Return the query parameter that a field of the draft was read from.
    """
    _, *index = field.split("/")
    return f"quantity[{lines[int(index[0])].sku}]" if index else "quantity"


def _idempotency_key(request: Request) -> str:
    """
    Return the idempotency key: of the header, as a structured field's string (in quotes) or bare, or of a form's field.

    :raises InvalidHeader: if there is none, or it is malformed.
    """
    key = request.META.get("HTTP_IDEMPOTENCY_KEY")
    if key is None and _is_form(request):
        key = cast("QueryDict", request.data).get("idempotency_key")
    if key is None:
        detail = ErrorDetail(gettext("Send one with each order."), code="idempotency_key_missing")
        raise InvalidHeader({"Idempotency-Key": detail})
    match = IDEMPOTENCY_KEY.fullmatch(key)
    if not match:
        text = gettext("Send one key of 1 to 255 visible ASCII characters other than comma, quote and backslash.")
        raise InvalidHeader({"Idempotency-Key": ErrorDetail(text, code="idempotency_key_invalid")})
    return match["key"]


def _accepts_json(request: Request) -> bool:
    return request.accepted_renderer.format == "json"


def _is_form(request: Request) -> bool:
    return isinstance(request.data, QueryDict)


def _as_api_exception(error: placing.InvalidOrder) -> APIException:
    changed = all(problem.code == "price_changed" for problem in error.problems)
    errors = {problem.field: _details(problem) for problem in error.problems}
    return Conflict(errors) if changed else ValidationError(errors)


def _details(problem: OrderProblem) -> list[ErrorDetail]:
    return [ErrorDetail(problem.detail, code=problem.code)]
