"""
Real workers whose payment gateway, mail server and SMS provider accept connections and never answer.

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
from shop.settings.groups import SIMULATED_GATEWAY, TWILIO_SMS
from tests.concurrency.environment import make_cluster
from tests.factories import make_stock, place_order
from tests.gateways import INSTANT
from tests.notifications.sms.twilio_server import ACCOUNT, TOKEN
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
        "EMAIL_CONNECTIONS": "64",
        "EMAIL_DEADLINE": str(CALL_SECONDS),
        "MESSAGING_HANDLER_LIMIT_SECONDS": str(2 * CALL_SECONDS),
        "MESSAGING_LEASE_SECONDS": str(3 * CALL_SECONDS),
        "PAYMENT_TIMEOUT_SECONDS": str(CALL_SECONDS),
    }


def place(sku: str, **fields: object) -> set[str]:
    """Place orders of this product, and return their ids."""
    return {str(place_order({sku: 1}, **fields).pk) for _ in range(ORDERS)}


def statuses_of_mails(kind: str) -> Counter[str]:
    mails = Notification.objects.filter(channel="email", kind=kind)
    return Counter(mails.values_list("status", flat=True))


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

            assert set(Notification.objects.values_list("status", flat=True)) <= {"queued", "sending"}
            assert not Attempt.objects.exists()


class TestSmsProvider:
    def test_delays_no_mail_no_payment_and_no_order(self, tmp_path, silence):
        make_stock(10 * ORDERS)
        make_stock(0, sku="BLUE-CHAIR")
        twilio = {
            "MESSAGING_HANDLER_LIMIT_SECONDS": str(3 * CALL_SECONDS),
            "MESSAGING_LEASE_SECONDS": str(4 * CALL_SECONDS),
            "SMS_BACKEND": TWILIO_SMS,
            "SMS_CONNECTIONS": "1",
            "EMAIL_CONNECTIONS": "1",
            "SMS_FROM": "+441134960999",
            "SMS_TIMEOUT": str(CALL_SECONDS),
            "TWILIO_ACCOUNT_SID": ACCOUNT,
            "TWILIO_AUTH_TOKEN": TOKEN,
            "TWILIO_API_BASE": f"http://{LOCALHOST}:{silence}",
        }

        with make_cluster(tmp_path, PAYMENT_GATEWAY=INSTANT, **twilio):
            for turn in (1, 2, 3):
                place("BLUE-CHAIR", phone="+441134960001")
                eventually(lambda turn=turn: statuses_of_mails("out_of_stock") == {"accepted": turn * ORDERS})
                orders = place("RED-CHAIR")
                eventually(lambda orders=orders: is_confirmed(orders))
                eventually(lambda turn=turn: statuses_of_mails("order_confirmed") == {"accepted": turn * ORDERS})

            assert set(Notification.objects.filter(channel="sms").values_list("status", flat=True)) <= {
                "queued",
                "sending",
            }
            assert not Attempt.objects.exclude(delivery__subscriber="notifications.send_sms").exists()


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
            assert set(Notification.objects.values_list("status", flat=True)) <= {"queued", "sending"}
            assert not Attempt.objects.exists()
