"""
What the operator's desk shows of payments: results that are unknown, webhooks and refunds that need a person, and money
by day.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import BooleanField, Count, OuterRef, QuerySet, Subquery, Sum, Value

from messaging.kernel.ids import lowest_id
from messaging.kernel.money import money
from shop.http.desk import (
    Chart,
    Concern,
    Item,
    Series,
    by_day,
    count_each,
    last_days,
    list_url,
    reports,
    rows_by_day,
    union,
)

from .models import Capture, PaymentIntent, Refund, WebhookEvent

Amounts = Mapping[tuple[str, bool, int], int]
"""Minor units by currency, by whether they were given back, and by the position of their day."""


@reports("payments.view_paymentintent", "payments.view_webhookevent", "payments.view_refund")
def show_what_is_open(now: datetime) -> Iterator[Item]:
    recent = lowest_id(last_days(now)[0])
    not_over = lowest_id(now - timedelta(seconds=settings.PAYMENTS.webhook_parking_seconds))
    unknown, disputed, parked, failed = count_each(
        PaymentIntent.objects.filter(status=PaymentIntent.Status.UNKNOWN),
        WebhookEvent.objects.filter(status=WebhookEvent.Status.DISPUTED, pk__gte=recent),
        WebhookEvent.objects.filter(status=WebhookEvent.Status.PARKED, pk__gte=not_over),
        Refund.objects.unrepeated(),
    )
    concerns = (
        _rejected_refunds(failed),
        _disputed_webhooks(disputed, recent),
        _parked_webhooks(parked, not_over),
        _unknown_payments(unknown),
    )
    yield from (concern for concern in concerns if concern.count)


def _unknown_payments(count: int) -> Concern:
    return Concern(
        title="Payments whose result is unknown",
        count=count,
        url=list_url("payments_paymentintent", status__exact=PaymentIntent.Status.UNKNOWN),
        permission="payments.view_paymentintent",
        advice="The gateway's answer was lost, and the gateway is asked again by itself: look whether it is down.",
        is_urgent=False,
    )


def _disputed_webhooks(count: int, since: UUID) -> Concern:
    # A discarded dead letter leaves its webhook disputed: so only those of two weeks.
    return Concern(
        title="Webhooks of two weeks that claim another amount than their order costs",
        count=count,
        url=list_url("payments_webhookevent", status__exact=WebhookEvent.Status.DISPUTED, id__gte=since),
        permission="payments.view_webhookevent",
        advice="Compare the payment with the gateway's books, then replay the dead letter of the webhook.",
        covered_by="Dead letters of payments.settle_webhook: WebhookDisputed",
    )


def _parked_webhooks(count: int, since: UUID) -> Concern:
    # Later it is a dead letter, and no second concern.
    return Concern(
        title="Webhooks about no payment of this shop yet",
        count=count,
        url=list_url("payments_webhookevent", status__exact=WebhookEvent.Status.PARKED, id__gte=since),
        permission="payments.view_webhookevent",
        advice="Their payment may still come. If not, look whether another shop uses the gateway's account too.",
        is_urgent=False,
    )


def _rejected_refunds(count: int) -> Concern:
    return Concern(
        title="Refunds that the gateway rejected",
        count=count,
        url=list_url("payments_refund", unrepeated="yes"),
        permission="payments.view_refund",
        advice="The customer has not got the money: refund the payment again, or return it in another way.",
    )


@reports("payments.view_capture")
def show_money(now: datetime) -> Iterator[Item]:
    days = last_days(now)
    rows, age = rows_by_day("money", days, partial(_amounts, days), day_at=2)
    amounts = {(currency, bool(is_refund), day): int(amount) for currency, is_refund, day, amount, _ in rows}
    for currency in sorted({currency for currency, *_ in amounts}) or [""]:
        yield replace(_chart_of(currency, amounts, [day.date() for day in days]), note=age)


def _amounts(days: Sequence[datetime], chosen: Sequence[int]) -> QuerySet[Any]:
    refunded = Refund.objects.filter(status=Refund.Status.SUCCEEDED)
    # Looked up for each refund of two weeks: for a join, PostgreSQL reads all captures.
    currency = Subquery(Capture.objects.filter(pk=OuterRef("capture")).values("currency"))
    kinds = {False: Capture.objects.all(), True: refunded.annotate(currency=currency)}
    parts = {is_refund: by_day(rows.order_by(), days, chosen) for is_refund, rows in kinds.items()}
    return union([_sums(part, is_refund=is_refund) for is_refund in parts for part in parts[is_refund]])


def _sums(rows: QuerySet[Any], *, is_refund: bool) -> QuerySet[Any]:
    marked: QuerySet[Any] = rows.annotate(is_refund=Value(is_refund, BooleanField()))
    by_currency = marked.values_list("currency", "is_refund", "day")
    sums: QuerySet[Any] = by_currency.annotate(sum=Sum("amount"), number=Count("pk"))
    return sums


def _chart_of(currency: str, amounts: Amounts, days: Sequence[date]) -> Chart:
    captured, refunded = (
        [amounts.get((currency, is_refund, day), 0) for day in range(len(days))] for is_refund in (False, True)
    )
    return Chart(
        title=f"Money in two weeks{f', {currency}' if currency else ''}",
        days=days,
        series=[
            Series(name="captured", tone="good", values=captured),
            Series(name="refunded, by the day of the request", tone="bad", values=refunded, is_below=True),
        ],
        url=list_url("payments_capture"),
        empty="No money was captured or refunded in the last two weeks.",
        write=partial(money, currency=currency),
    )
