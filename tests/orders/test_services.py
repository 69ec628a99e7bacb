from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from django.db import IntegrityError, transaction

from messaging import contracts
from messaging.models import Delivery
from orders import placing, services
from orders.models import Order, Product
from tests.factories import make_draft, make_product, place_order
from tests.outbox import allowed_for_a_hundredfold, announced, counting_statements, published

pytestmark = pytest.mark.django_db

NOON = datetime(2030, 6, 1, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _offered():
    make_product(sku="RED-CHAIR", price=4_500)


def awaiting_payment(**wishes: object) -> Order:
    order = place_order(**wishes)
    services.request_payments([str(order.pk)], now=NOON)
    return Order.objects.get(pk=order.pk)


def confirmed() -> Order:
    order = awaiting_payment()
    services.confirm_orders([str(order.pk)], now=NOON)
    return Order.objects.get(pk=order.pk)


def as_they_are(*orders: Order) -> list[tuple[str, str]]:
    ids = [order.pk for order in orders]
    return list(Order.objects.filter(pk__in=ids).order_by("pk").values_list("status", "cancel_reason"))


class TestRequestPayments:
    def test_asks_for_the_money_and_sets_reminder_and_expiry(self, settings):
        settings.ORDERS = replace(settings.ORDERS, reminder_seconds=900, payment_due_seconds=1800)
        order = place_order()

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
            )
        ]
        delayed = Delivery.objects.filter(delayed=True).values_list("message__type", "due_at").order_by("due_at")
        assert list(delayed) == [
            ("orders.payment_due_soon", NOON + timedelta(minutes=15)),
            ("orders.payment_overdue", NOON + timedelta(minutes=30)),
        ]

    def test_asks_once_however_often_it_is_told(self):
        order = place_order()

        services.request_payments([str(order.pk)], now=NOON)
        services.request_payments([str(order.pk)], now=NOON)

        assert len(published(contracts.PaymentRequested)) == 1

    def test_leaves_a_cancelled_order_alone(self):
        order = place_order()
        services.cancel_order(str(order.pk), reason="by_customer", now=NOON)

        services.request_payments([str(order.pk)], now=NOON)

        order.refresh_from_db()
        assert order.status == "cancelled"
        assert published(contracts.PaymentRequested) == []


class TestConfirmOrders:
    def test_confirms_and_announces_what_was_bought(self):
        order = awaiting_payment()

        services.confirm_orders([str(order.pk)], now=NOON)

        assert as_they_are(order) == [("confirmed", "")]
        line = contracts.ConfirmedLine(sku="RED-CHAIR", name="Red chair", quantity=1, unit_price=4_500)
        assert published(contracts.OrderConfirmed) == [
            contracts.OrderConfirmed(
                order_id=str(order.pk),
                total=4_500,
                currency="GBP",
                email="ada@example.com",
                lines=(line,),
                customer_id=str(order.customer_id),
            )
        ]

    def test_leaves_a_cancelled_order_cancelled(self):
        order = awaiting_payment()
        services.cancel_order(str(order.pk), reason="by_customer", now=NOON)

        services.confirm_orders([str(order.pk)], now=NOON)

        assert as_they_are(order) == [("cancelled", "by_customer")]
        assert published(contracts.OrderConfirmed) == []

    def test_does_nothing_for_an_order_that_it_does_not_know(self):
        services.confirm_orders([str(uuid4())], now=NOON)

        assert announced() == {}


class TestCancelOrders:
    def test_cancels_each_for_its_reason(self):
        without_stock, unpaid = place_order(), awaiting_payment()

        services.cancel_orders({str(without_stock.pk): "out_of_stock", str(unpaid.pk): "expired"}, now=NOON)

        assert as_they_are(without_stock, unpaid) == [("cancelled", "out_of_stock"), ("cancelled", "expired")]
        told = {
            event.order_id: (event.reason, event.payment_requested) for event in published(contracts.OrderCancelled)
        }
        assert told == {str(without_stock.pk): ("out_of_stock", False), str(unpaid.pk): ("expired", True)}

    def test_leaves_final_orders_alone(self):
        order = confirmed()

        services.cancel_orders({str(order.pk): "expired"}, now=NOON)

        assert as_they_are(order) == [("confirmed", "")]
        assert published(contracts.OrderCancelled) == []


class TestCancelOrder:
    def test_cancels_and_announces_it(self):
        order = awaiting_payment()

        cancelled = services.cancel_order(str(order.pk), reason="by_operator", now=NOON)

        assert (cancelled.status, cancelled.cancel_reason) == ("cancelled", "by_operator")
        assert published(contracts.OrderCancelled) == [
            contracts.OrderCancelled(
                order_id=str(order.pk),
                reason="by_operator",
                payment_requested=True,
                total=4_500,
                currency="GBP",
                email="ada@example.com",
                customer_id=str(order.customer_id),
            )
        ]

    def test_refuses_when_the_order_is_final(self):
        order = confirmed()

        with pytest.raises(services.CannotCancel, match="this order is already confirmed"):
            services.cancel_order(str(order.pk), reason="by_customer", now=NOON)

        assert as_they_are(order) == [("confirmed", "")]


class TestRecordRefunds:
    def test_keeps_a_partly_refunded_order_confirmed(self):
        order = confirmed()

        services.record_refunds({str(order.pk): 1_000}, now=NOON)

        order.refresh_from_db()
        assert (order.status, order.refunded) == ("confirmed", 1_000)

    def test_calls_an_order_refunded_once_all_of_its_money_went_back(self):
        order = confirmed()

        services.record_refunds({str(order.pk): 1_000}, now=NOON)
        services.record_refunds({str(order.pk): 3_500}, now=NOON)

        order.refresh_from_db()
        assert (order.status, order.refunded) == ("refunded", 4_500)

    def test_keeps_a_cancelled_order_cancelled(self):
        order = awaiting_payment()
        services.cancel_order(str(order.pk), reason="by_customer", now=NOON)

        services.record_refunds({str(order.pk): 4_500}, now=NOON)

        order.refresh_from_db()
        assert (order.status, order.refunded) == ("cancelled", 4_500)

    def test_cancels_an_order_whose_money_went_back_before_it_was_known_to_be_paid(self):
        order = awaiting_payment()

        services.record_refunds({str(order.pk): 4_500}, now=NOON)
        services.confirm_orders([str(order.pk)], now=NOON)

        order.refresh_from_db()
        assert (order.status, order.cancel_reason, order.refunded) == ("cancelled", "by_operator", 4_500)

    def test_never_records_more_than_was_paid(self):
        order = confirmed()

        with pytest.raises(IntegrityError), transaction.atomic():
            services.record_refunds({str(order.pk): 4_501}, now=NOON)


class TestAddProducts:
    def test_offers_new_products_and_announces_them(self):
        new = services.add_products([Product(sku="OAK-TABLE", name="Oak table", price=20_000)])

        assert [product.sku for product in new] == ["OAK-TABLE"]
        assert published(contracts.ProductAdded) == [contracts.ProductAdded(sku="OAK-TABLE", name="Oak table")]

    def test_keeps_a_product_that_is_offered_already(self):
        new = services.add_products([Product(sku="RED-CHAIR", name="Another chair", price=1)])

        assert new == []
        assert Product.objects.get(sku="RED-CHAIR").price == 4_500
        assert announced() == {}


class TestShowAvailability:
    def test_marks_each_product(self):
        make_product(sku="OAK-TABLE", sold_out=True)

        services.show_availability({"RED-CHAIR": (1, True), "OAK-TABLE": (1, False)})

        assert dict(Product.objects.values_list("sku", "sold_out")) == {"RED-CHAIR": True, "OAK-TABLE": False}

    def test_leaves_out_what_a_later_change_made_untrue(self):
        services.show_availability({"RED-CHAIR": (2, False)})

        services.show_availability({"RED-CHAIR": (1, True)})

        assert dict(Product.objects.values_list("sku", "sold_out")) == {"RED-CHAIR": False}


class TestSets:
    @pytest.mark.parametrize(
        "steer",
        [
            services.request_payments,
            services.confirm_orders,
            lambda ids, now: services.cancel_orders(dict.fromkeys(ids, "expired"), now=now),
            lambda ids, now: services.record_refunds(dict.fromkeys(ids, 4_500), now=now),
        ],
        ids=["request_payments", "confirm_orders", "cancel_orders", "record_refunds"],
    )
    def test_cost_as_many_statements_for_two_hundred_as_for_two(self, steer):
        ids = self.orders_for(steer)

        with counting_statements() as for_two:
            steer(ids[:2], now=NOON)
        with counting_statements() as for_many:
            steer(ids[2:], now=NOON)

        assert len(for_many) <= allowed_for_a_hundredfold(len(for_two))

    def orders_for(self, steer) -> list[str]:
        placements = placing.place_orders([make_draft() for _ in range(202)], now=NOON)
        ids = [str(placement.order.pk) for placement in placements]
        if steer is not services.request_payments:
            services.request_payments(ids, now=NOON)
        if steer.__name__ == "record_refunds":
            services.confirm_orders(ids, now=NOON)
        return ids
