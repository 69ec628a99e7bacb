import pytest

from messaging import contracts
from orders import handlers
from orders.models import Order, Product
from tests.factories import make_product, place_order

pytestmark = pytest.mark.django_db


@pytest.fixture
def order() -> Order:
    make_product(sku="RED-CHAIR", price=4_500)
    return place_order()


def test_requests_payment_when_stock_is_reserved(order):
    handlers.request_payment([contracts.StockReserved(order_id=str(order.pk))])

    order.refresh_from_db()
    assert order.status == "awaiting_payment"


def test_cancels_as_out_of_stock_when_stock_is_rejected(order):
    handlers.cancel_out_of_stock([contracts.StockRejected(order_id=str(order.pk), missing=("RED-CHAIR",))])

    order.refresh_from_db()
    assert (order.status, order.cancel_reason) == ("cancelled", "out_of_stock")


def test_confirms_when_payment_succeeds_and_counts_what_is_refunded(order):
    handlers.request_payment([contracts.StockReserved(order_id=str(order.pk))])

    handlers.confirm_order([contracts.PaymentSucceeded(order_id=str(order.pk), amount=4_500, currency="GBP")])
    handlers.record_refund(
        [contracts.PaymentRefunded(order_id=str(order.pk), refund_id="1", amount=4_500, currency="GBP", email="")]
    )

    order.refresh_from_db()
    assert [step.status for step in order.history.order_by("id")] == [
        "placed",
        "awaiting_payment",
        "confirmed",
        "refunded",
    ]


@pytest.mark.parametrize(("failure", "reason"), [("declined", "payment_failed"), ("expired", "expired")])
def test_cancels_when_payment_fails(order, failure, reason):
    handlers.cancel_unpaid([contracts.PaymentFailed(order_id=str(order.pk), reason=failure)])

    order.refresh_from_db()
    assert (order.status, order.cancel_reason) == ("cancelled", reason)


def test_shows_what_is_sold_out_and_what_is_back(order):
    make_product(sku="OAK-TABLE", sold_out=True)

    handlers.show_availability(
        [contracts.StockDepleted(sku="RED-CHAIR", revision=1), contracts.StockReplenished(sku="OAK-TABLE", revision=1)],
    )

    assert dict(Product.objects.values_list("sku", "sold_out")) == {"RED-CHAIR": True, "OAK-TABLE": False}
