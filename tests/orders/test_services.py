from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID, uuid4

import pytest
from django.db import IntegrityError, transaction

from messaging import contracts
from messaging.models import Delivery
from orders import placing, services
from orders.models import Order, OrderRefund, Product
from orders.services import Availability
from tests.factories import ProductFactory, make_draft, place_order
from tests.orders.refunds import refund_of
from tests.outbox import allowed_for_a_hundredfold, announced, counting_statements, published

pytestmark = pytest.mark.django_db

NOON = datetime(2030, 6, 1, 12, tzinfo=UTC)

Batch = Callable[[list[str]], object]


RED_CHAIR = contracts.ConfirmedLine(sku="RED-CHAIR", name="Red chair", quantity=1, unit_price=4_500)


@pytest.fixture(autouse=True)
def _product():
    ProductFactory(sku="RED-CHAIR", price=4_500)


def awaiting_payment() -> Order:
    order = place_order(phone="+441632960123", language="de")
    services.request_payments([str(order.pk)], now=NOON)
    return Order.objects.get(pk=order.pk)


def confirmed() -> Order:
    order = awaiting_payment()
    services.confirm_orders([str(order.pk)], now=NOON)
    return Order.objects.get(pk=order.pk)


def cancelled() -> Order:
    return services.cancel_order(str(awaiting_payment().pk), reason="by_customer", now=NOON)


def contact_of(order: Order) -> dict[str, str]:
    return {"number": order.number, "phone": "+441632960123", "language": "de"}


request_payments: Batch = partial(services.request_payments, now=NOON)
confirm_orders: Batch = partial(services.confirm_orders, now=NOON)


def cancel_orders(ids: list[str]) -> None:
    services.cancel_orders(dict.fromkeys(ids, "expired"), now=NOON)


def record_refunds(ids: list[str]) -> None:
    services.record_refunds([refund_of(order_id) for order_id in ids], now=NOON)


class TestRequestPayments:
    def test_publishes_the_request_and_schedules_reminder_and_expiry(self, settings):
        settings.ORDERS = replace(settings.ORDERS, reminder_seconds=900, payment_due_seconds=1800)
        order = place_order(phone="+441632960123", language="de")

        services.request_payments([str(order.pk)], now=NOON)

        order.refresh_from_db()
        assert order.status == "awaiting_payment"
        assert published(contracts.PaymentRequested) == [
            contracts.PaymentRequested(
                order_id=str(order.pk),
                amount=4_500,
                currency="GBP",
                payment_method="tok_visa",
                email="ada@example.com",
                customer_id=str(order.customer_id),
                **contact_of(order),
            )
        ]
        assert published(contracts.PaymentDueSoon) == [
            contracts.PaymentDueSoon(
                order_id=str(order.pk),
                amount=4_500,
                currency="GBP",
                email="ada@example.com",
                customer_id=str(order.customer_id),
                **contact_of(order),
                lines=(RED_CHAIR,),
                due_at="2030-06-01T12:30:00+00:00",
            )
        ]
        delayed = Delivery.objects.filter(delayed=True).values_list("message__type", "due_at")
        assert dict(delayed) == {
            "orders.payment_due_soon": NOON + timedelta(minutes=15),
            "orders.payment_overdue": NOON + timedelta(minutes=30),
        }


class TestConfirmOrders:
    def test_confirms_and_publishes_the_lines(self):
        order = awaiting_payment()

        services.confirm_orders([str(order.pk)], now=NOON)

        order.refresh_from_db()
        assert order.status == "confirmed"
        assert published(contracts.OrderConfirmed) == [
            contracts.OrderConfirmed(
                order_id=str(order.pk),
                total=4_500,
                currency="GBP",
                email="ada@example.com",
                lines=(RED_CHAIR,),
                customer_id=str(order.customer_id),
                **contact_of(order),
            )
        ]

    def test_ignores_an_unknown_order(self):
        services.confirm_orders([str(uuid4())], now=NOON)

        assert announced() == {}


@pytest.mark.parametrize(
    ("make_order", "command"),
    [
        pytest.param(awaiting_payment, request_payments, id="request payment twice"),
        pytest.param(cancelled, request_payments, id="request payment of a cancelled order"),
        pytest.param(cancelled, confirm_orders, id="confirm a cancelled order"),
        pytest.param(confirmed, cancel_orders, id="cancel a confirmed order"),
    ],
)
def test_a_command_that_its_status_forbids_does_not_change_an_order(make_order, command):
    order = make_order()
    before = (Order.objects.values().get(), announced())

    command([str(order.pk)])

    assert (Order.objects.values().get(), announced()) == before


class TestCancelOrders:
    def test_cancels_each_order_with_its_reason(self):
        without_stock, unpaid = place_order(), awaiting_payment()

        services.cancel_orders({str(without_stock.pk): "out_of_stock", str(unpaid.pk): "expired"}, now=NOON)

        reasons = {without_stock.pk: "out_of_stock", unpaid.pk: "expired"}
        assert dict(Order.objects.filter(status="cancelled").values_list("pk", "cancel_reason")) == reasons
        events = {event.order_id: event for event in published(contracts.OrderCancelled)}
        assert {order_id: event.reason for order_id, event in events.items()} == {
            str(pk): reason for pk, reason in reasons.items()
        }
        assert not events[str(without_stock.pk)].payment_requested
        assert events[str(unpaid.pk)].payment_requested


class TestCancelOrder:
    def test_cancels_and_publishes(self):
        order = awaiting_payment()

        order = services.cancel_order(str(order.pk), reason="by_operator", now=NOON)

        assert (order.status, order.cancel_reason) == ("cancelled", "by_operator")
        assert published(contracts.OrderCancelled) == [
            contracts.OrderCancelled(
                order_id=str(order.pk),
                reason="by_operator",
                payment_requested=True,
                total=4_500,
                currency="GBP",
                email="ada@example.com",
                customer_id=str(order.customer_id),
                **contact_of(order),
                lines=(RED_CHAIR,),
            )
        ]


class TestRecordRefunds:
    @pytest.mark.parametrize(
        ("make_order", "amounts", "status"),
        [
            (confirmed, [1_000], "confirmed"),
            (confirmed, [1_000, 3_500], "refunded"),
            (cancelled, [4_500], "cancelled"),
        ],
        ids=["partial", "in two parts", "of a cancelled order"],
    )
    def test_adds_up_the_refunds_of_an_order(self, make_order, amounts, status):
        order = make_order()

        for amount in amounts:
            services.record_refunds([refund_of(order.pk, amount)], now=NOON)

        order.refresh_from_db()
        assert (order.status, order.refunded) == (status, sum(amounts))

    def test_cancels_an_order_that_was_refunded_before_it_was_confirmed(self):
        order = awaiting_payment()

        services.record_refunds([refund_of(order.pk)], now=NOON)
        services.confirm_orders([str(order.pk)], now=NOON)

        order.refresh_from_db()
        assert (order.status, order.cancel_reason, order.refunded) == ("cancelled", "by_operator", 4_500)

    def test_rejects_more_than_the_total(self):
        order = confirmed()

        with pytest.raises(IntegrityError), transaction.atomic():
            services.record_refunds([refund_of(order.pk, 4_501)], now=NOON)

    def test_keeps_surplus_money_beside_the_total(self):
        order = confirmed()
        surplus = refund_of(order.pk, 5_200, currency="EUR", surplus=True, cause="wrong_amount")

        services.record_refunds([surplus], now=NOON)

        order.refresh_from_db()
        assert (order.status, order.refunded) == ("confirmed", 0)
        assert OrderRefund.objects.values().get() == {
            "refund_id": UUID(surplus.refund_id),
            "order_id": order.pk,
            "amount": 5_200,
            "currency": "EUR",
            "surplus": True,
            "cause": "wrong_amount",
            "reason": "",
            "at": NOON,
        }

    def test_counts_each_refund_once(self):
        order = confirmed()
        refund = refund_of(order.pk, 1_000)

        for _ in range(2):
            services.record_refunds([refund], now=NOON)

        order.refresh_from_db()
        assert (order.refunded, order.refunds.count()) == (1_000, 1)

    def test_ignores_an_unknown_order(self):
        services.record_refunds([refund_of(uuid4())], now=NOON)

        assert not OrderRefund.objects.exists()


class TestAddProducts:
    def test_does_not_change_an_existing_product(self):
        products = services.add_products([Product(sku="RED-CHAIR", name="Another chair", price=1)])

        assert products == []
        assert Product.objects.get(sku="RED-CHAIR").price == 4_500
        assert announced() == {}


class TestShowAvailability:
    def test_marks_each_product_by_its_latest_revision(self):
        ProductFactory(sku="OAK-TABLE", sold_out=True)

        ProductFactory(sku="LAMP")

        services.show_availability(
            {
                "RED-CHAIR": Availability(2, is_sold_out=True),
                "OAK-TABLE": Availability(1),
                "LAMP": Availability(3, few_left=4),
            }
        )
        services.show_availability({"RED-CHAIR": Availability(1), "LAMP": Availability(2)})

        assert Product.objects.available(["RED-CHAIR", "OAK-TABLE", "LAMP"]) == {
            "RED-CHAIR": 0,
            "OAK-TABLE": None,
            "LAMP": 4,
        }


class TestBatch:
    @pytest.mark.parametrize(
        ("earlier", "command"),
        [
            ([], request_payments),
            ([request_payments], confirm_orders),
            ([request_payments], cancel_orders),
            ([request_payments, confirm_orders], record_refunds),
        ],
        ids=["request_payments", "confirm_orders", "cancel_orders", "record_refunds"],
    )
    def test_of_two_hundred_costs_as_many_statements_as_one_of_two(self, earlier, command):
        results = placing.place_orders([make_draft() for _ in range(202)], now=NOON)
        ids = [str(placed.order.pk) for placed in results]
        for step in earlier:
            step(ids)

        with counting_statements() as for_two:
            command(ids[:2])
        with counting_statements() as for_many:
            command(ids[2:])

        assert len(for_many) <= allowed_for_a_hundredfold(len(for_two))
