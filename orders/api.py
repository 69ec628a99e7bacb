"""
The products of the shop, and the orders of the customer who asks.
"""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from django.db.models import QuerySet
from django.http import HttpResponse, HttpResponseBase, QueryDict
from django.utils import timezone
from django.utils.cache import get_conditional_response
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
from shop.http.views import ShopView

from . import placing, services
from .drafts import SKU, Draft, DraftLine, OrderProblem
from .long_polling import follow
from .models import Order, Product
from .responses import order_url
from .serializers import (
    WISH,
    LineInput,
    OrderFilter,
    OrderInput,
    OrderOutput,
    ProductFilter,
    ProductOutput,
    QuoteOutput,
    base_url_of,
    lines_of,
    wish_of,
)

IDEMPOTENCY_KEY = re.compile(r'"?([!#-+\--\[\]-~]{1,255})"?', re.ASCII)

OF_A_BASKET = (
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
    description="How many of each, by sku.",
)


class ProductViewSet(ShopView, viewsets.ReadOnlyModelViewSet[Product]):
    """
    What the shop sells. Prices are in minor units, such as pence.
    """

    queryset = Product.objects.filter(active=True)
    serializer_class = ProductOutput
    permission_classes = (AllowAny,)
    filterset_class = ProductFilter
    pages = {"list": "orders/products.html"}
    # A customer searches on while the basket is filled.
    extra_parameters = WISH
    ordering = "sku"
    lookup_value_regex = SKU.pattern


class Quote(ShopView, generics.GenericAPIView[Order]):
    """
    What a basket costs now: `?quantity[RED-CHAIR]=2`. Nothing is ordered, and nothing held.
    """

    serializer_class = QuoteOutput
    pages = {"get": "orders/quote.html"}
    error_links = {"get": "orders/ways_on_from_quote.html"}
    error_codes = {"get": (*OF_A_BASKET, "invalid_parameter")}
    # The page of the products brings its search along.
    extra_parameters = re.compile(f"{WISH.pattern}|search|sold_out", re.DOTALL)

    @extend_schema(parameters=[QUANTITIES])
    def get(self, request: Request) -> Response:
        self.filter_queryset(Order.objects.none())
        lines = [_asked(line) for line in lines_of(request.query_params)]
        draft = Draft(customer_id=request.user.pk, lines=lines, payment_method="")
        try:
            return Response(QuoteOutput(placing.preview(draft, now=timezone.now())).data)
        except placing.InvalidOrder as error:
            faults = {_parameter(problem.field, lines): _fault(problem) for problem in error.problems}
            raise ValidationError(faults) from error


class OrderViewSet(ShopView, mixins.RetrieveModelMixin, mixins.ListModelMixin, viewsets.GenericViewSet[Order]):
    """
    Your orders, newest first.
    """

    serializer_class = OrderOutput
    filterset_class = OrderFilter
    pages = {"list": "orders/orders.html", "retrieve": "orders/order.html"}
    error_links = {"create": "orders/ways_on_from_order.html"}
    error_codes = {"create": (*OF_A_BASKET, "price_changed", "too_many_open_orders"), "cancel": ("invalid_state",)}
    headers_read = {"create": ("Idempotency-Key", "traceparent"), "retrieve": ("If-None-Match", "Prefer")}
    headers_sent = {"create": ("Idempotent-Replayed", "Location"), "retrieve": ("ETag", "Preference-Applied")}

    def get_queryset(self) -> QuerySet[Order]:
        return Order.objects.filter(customer=self.request.user.pk).whole()

    def get_serializer_class(self) -> type[serializers.BaseSerializer[Any]]:
        return OrderInput if self.action == "create" else self.serializer_class

    @extend_schema(responses={201: OrderOutput})
    def create(self, request: Request) -> HttpResponseBase:
        """
        Place an order. It is taken when you get a 201; follow it until it is no more open.
        """
        draft = _draft(request)
        try:
            placed = placing.place_order(draft, base_url=base_url_of(request), now=timezone.now())
        except placing.InvalidOrder as error:
            raise _refusal(error) from error
        except placing.IdempotencyKeyReused as error:
            raise Unprocessable(str(error), code="idempotency_key_reused") from error
        except placing.TooManyOpenOrders as error:
            raise Conflict(str(error), code="too_many_open_orders") from error
        except Busy as error:
            raise RequestInProgress from error
        return self._placed_response(placed)

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponseBase | None:
        """
        Look at an order. Its ETag makes polling cheap: send it as `If-None-Match`, and `Prefer: wait=20` to be answered
        when there is news, or after as many seconds.
        """
        order = self.get_object()
        waited = follow(order, request.headers)
        if waited:
            order = self.get_object()
        shown = Response(self.get_serializer(order).data)
        answer = get_conditional_response(request._request, etag=order.etag, response=shown)  # noqa: SLF001
        for name, value in {"ETag": order.etag, "Cache-Control": "private, no-cache", **waited}.items():
            answer.headers[name] = value
        return answer

    @extend_schema(request=None, responses=OrderOutput)
    @action(detail=True, methods=["post"], serializer_class=serializers.Serializer)
    def cancel(self, request: Request, pk: str) -> Response:
        """
        Cancel an order that is not final yet. What was paid comes back by itself.
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
            return Response(status=status.HTTP_303_SEE_OTHER, headers={"Location": self._url_of(order)})
        return Response(OrderOutput(self.get_object(), context=self.get_serializer_context()).data)

    def _placed_response(self, placed: placing.PlacedOrder) -> HttpResponseBase:
        headers = {"Location": self._url_of(placed.order)}
        if not placed.is_new:
            headers["Idempotent-Replayed"] = "true"
        if not _accepts_json(self.request):
            return Response(status=status.HTTP_303_SEE_OTHER, headers=headers)
        return HttpResponse(placed.response_body, status=201, headers=headers, content_type="application/json")

    def _url_of(self, order: Order) -> str:
        return order_url(order, base_url=base_url_of(self.request))


def _draft(request: Request) -> Draft:
    key = _idempotency_key(request)
    wanted = OrderInput.check(wish_of(request.data)) if _is_form(request) else OrderInput.read(request)
    lines = [DraftLine(**line) for line in wanted.pop("lines")]
    return Draft(
        customer_id=request.user.pk, lines=lines, idempotency_key=key, account_email=request.user.email, **wanted
    )


def _asked(line: Mapping[str, Any]) -> DraftLine:
    try:
        return DraftLine(**LineInput.check(line))
    except ValidationError as error:
        faults = [fault for of_field in error.detail.values() for fault in of_field]
        raise ValidationError({f"quantity[{line['sku']}]": faults}) from error


def _parameter(field: str, lines: Sequence[DraftLine]) -> str:
    """
    Name the parameter that a field of an order came by.
    """
    _, *of_line = field.split("/")
    return f"quantity[{lines[int(of_line[0])].sku}]" if of_line else "quantity"


def _idempotency_key(request: Request) -> str:
    """
    Read the key, be it written as a structured field's string (in quotes) or bare; a form brings it in a field.
    """
    key = request.headers.get("Idempotency-Key")
    if key is None and _is_form(request):
        key = request.data.get("idempotency_key")
    if key is None:
        raise InvalidHeader(
            {"Idempotency-Key": ErrorDetail("Send one with each order.", code="idempotency_key_missing")}
        )
    found = IDEMPOTENCY_KEY.fullmatch(key)
    if not found:
        detail = "Send one key of 1 to 255 visible ASCII characters other than comma, quote and backslash."
        raise InvalidHeader({"Idempotency-Key": ErrorDetail(detail, code="idempotency_key_invalid")})
    return found[1]


def _accepts_json(request: Request) -> bool:
    return request.accepted_renderer.format == "json"


def _is_form(request: Request) -> bool:
    return isinstance(request.data, QueryDict)


def _refusal(error: placing.InvalidOrder) -> APIException:
    changed = all(problem.code == "price_changed" for problem in error.problems)
    faults = {problem.field: _fault(problem) for problem in error.problems}
    return Conflict(faults) if changed else ValidationError(faults)


def _fault(problem: OrderProblem) -> list[ErrorDetail]:
    return [ErrorDetail(problem.detail, code=problem.code)]
