"""
Real workers whose payment gateway and mail server accept connections and never answer.

No call ends during a test: a call may take a minute. What happens meanwhile happens while every call hangs.
"""

import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import closing

import pytest

from inventory.models import Reservation
from messaging.models import Attempt
from notifications.models import Notification
from orders.models import Order
from payments.models import PaymentIntent
from shop.settings.groups import SIMULATED_GATEWAY
from tests.concurrency.environment import make_cluster
from tests.factories import make_stock, place_order
from tests.gateways import INSTANT
from tests.programs import LOCALHOST
from tests.waiting import eventually

pytestmark = pytest.mark.django_db(transaction=True)

CALL_SECONDS = 60
ORDERS = 10


@pytest.fixture
def silence() -> Iterator[int]:
    """Return the port of a server that accepts connections and never answers."""
    with closing(socket.create_server((LOCALHOST, 0), backlog=1_000)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def environment(silence) -> dict[str, str]:
    """A mail server that hangs."""
    return {
        "EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend",
        "EMAIL_HOST": LOCALHOST,
        "EMAIL_PORT": str(silence),
        "EMAIL_TIMEOUT": str(CALL_SECONDS),
        "MESSAGING_HANDLER_LIMIT_SECONDS": str(2 * CALL_SECONDS),
        "MESSAGING_LEASE_SECONDS": str(3 * CALL_SECONDS),
        "PAYMENT_TIMEOUT_SECONDS": str(CALL_SECONDS),
    }


def place(sku: str) -> set[str]:
    """Place orders of this product, and return their ids."""
    return {str(place_order({sku: 1}).pk) for _ in range(ORDERS)}


def statuses_of(orders: set[str]) -> Counter[str]:
    return Counter(Order.objects.filter(pk__in=orders).values_list("status", flat=True))


def is_confirmed(orders: set[str]) -> bool:
    return statuses_of(orders) == {"confirmed": ORDERS}


class TestMailServer:
    def test_delays_no_payment_and_no_order(self, tmp_path, environment):
        make_stock(10 * ORDERS)

        with make_cluster(tmp_path, PAYMENT_GATEWAY=INSTANT, **environment):
            for turn in (1, 2, 3):
                orders = place("RED-CHAIR")
                eventually(lambda orders=orders: is_confirmed(orders))
                eventually(lambda turn=turn: Notification.objects.count() > turn)

            assert set(Notification.objects.values_list("status", flat=True)) == {"sending"}
            assert not Attempt.objects.exists()


class TestGatewayAndMailServer:
    def test_delay_no_order_without_a_payment(self, tmp_path, environment, silence):
        make_stock(10 * ORDERS)
        make_stock(10 * ORDERS, sku="FREE-SAMPLE", price=0)
        gateway = {"PAYMENT_GATEWAY": SIMULATED_GATEWAY, "PAYMENT_SIMULATOR_URL": f"http://{LOCALHOST}:{silence}"}

        with make_cluster(tmp_path, **gateway, **environment):
            paid = place("RED-CHAIR")
            eventually(lambda: PaymentIntent.objects.filter(status="processing").count() == ORDERS)
            for turn in (1, 2):
                free = place("FREE-SAMPLE")
                eventually(lambda free=free: is_confirmed(free))
                eventually(lambda turn=turn: Notification.objects.count() > turn)

            assert statuses_of(paid) == {"awaiting_payment": ORDERS}
            assert Reservation.objects.count() == 3 * ORDERS
            assert set(PaymentIntent.objects.filter(order_id__in=paid).values_list("status", flat=True)) == {
                "processing"
            }
            assert set(Notification.objects.values_list("status", flat=True)) == {"sending"}
            assert not Attempt.objects.exists()
