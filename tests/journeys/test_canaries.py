"""
Addresses and phone numbers that nothing else uses go through the whole life of orders in which everything fails. They
are found in the tables that need them, and nowhere else: in no log, no error and no task.
"""

from dataclasses import replace
from smtplib import SMTPRecipientsRefused
from urllib.parse import urlencode

import pytest
from anymail.backends.test import EmailBackend
from django.test import Client

from messaging.models import Attempt, Delivery
from notifications.models import Notification
from orders import services
from orders.models import Order
from tests.canaries import tables_naming
from tests.factories import CustomerFactory, api_of, make_stock
from tests.gateways import INSTANT
from tests.operators import act, page
from tests.webhooks import SECRET, SIMULATED, WEBHOOKS, event, signed

pytestmark = pytest.mark.django_db

EMAILS = tuple(f"zyx-{number}.quokka@canary-{number}.example" for number in range(5))
PHONES = tuple(f"+44113496{number:04}" for number in range(5))
CANARIES = (*EMAILS, *PHONES)

TOKENS = ("tok_visa", "tok_mastercard", "tok_declined", "tok_visa")

WITH_CONTACT_DATA = {
    "auth_user",
    "messaging_outboxmessage",
    "notifications_notification",
    "notifications_suppression",
    "orders_firstanswer",
    "orders_order",
    "payments_paymentintent",
}


class NamesTheRecipient(EmailBackend):
    """
    A provider whose errors quote the recipient, in each form in which a backend raises them.
    """

    def send_messages(self, email_messages):
        [[recipient]] = [message.to for message in email_messages]
        match EMAILS.index(recipient) % 3 if recipient in EMAILS else None:
            case 0:
                raise SMTPRecipientsRefused({recipient: (550, f"<{recipient}> is unknown here".encode())})
            case 1:
                raise ConnectionResetError(f"reset while sending to {recipient}")
            case 2:
                raise ValueError(f"no template for {recipient!r}")
        return super().send_messages(email_messages)


@pytest.fixture
def canary(settings) -> None:
    """
    A customer at a shop in which each failed delivery is a dead letter.
    """
    settings.EMAIL_BACKEND = f"{__name__}.NamesTheRecipient"
    settings.MESSAGING = replace(settings.MESSAGING, max_attempts=1)
    CustomerFactory(username="canary", email=EMAILS[0])
    make_stock(100)


def place(number: int, **fields: object):
    body = {
        "lines": [{"sku": "RED-CHAIR", "quantity": 1}],
        "payment_method": "tok_visa",
        "expected_total": 4_500,
        "email": EMAILS[number],
        "phone": PHONES[number],
    }
    headers = {"Idempotency-Key": f"order-{number}"}
    return api_of("canary").post("/api/v1/orders/", body | fields, format="json", headers=headers)


def break_the_database(order_ids, *, now) -> None:
    """
    Have the database reject a row, which PostgreSQL quotes.
    """
    Order.objects.filter(pk__in=list(order_ids)).update(total=-1)


def send_bad_requests() -> list[int]:
    """
    Send requests with the canaries that are rejected, as API client, browser and gateway; return the statuses.
    """
    visitor, quoting = Client(), event(note=f"for {EMAILS[0]}, {PHONES[0]}")
    requests = [
        place(0, email=f"{EMAILS[0]}@", phone=f"{PHONES[0]}999999999"),
        place(0, lines=[{"sku": EMAILS[0], "quantity": 1}]),
        visitor.post(WEBHOOKS, quoting, "application/json", headers=signed(quoting, secret="whsec_" + 40 * "A")),
        visitor.post(WEBHOOKS, quoting[:-2], "application/json", headers=signed(quoting[:-2])),
        visitor.get(f"/api/v1/orders/?{urlencode({'email': EMAILS[0]})}", headers={"Accept": "application/json"}),
        visitor.post("/admin/login/", {"username": EMAILS[0], "password": "wrong"}),
    ]
    return [response.status_code for response in requests]


def operate() -> None:
    """
    Search for a canary as an operator, cancel orders, send messages again, and replay the dead letters.
    """
    operator = Client()
    operator.force_login(CustomerFactory(username="olga", is_staff=True, is_superuser=True))
    operator.get(page(Order), {"q": EMAILS[1]})
    act(operator, "cancel", *Order.objects.all())
    act(operator, "resend", *Notification.objects.filter(recipient__in=EMAILS), repeat="on")
    act(operator, "replay", *Delivery.objects.dead())


def test_are_in_the_tables_that_need_them_and_nowhere_else(canary, drain, log, monkeypatch, settings):
    settings.PAYMENTS = replace(settings.PAYMENTS, gateway=SIMULATED, webhook_secrets=(SECRET,))
    rejected = send_bad_requests()
    settings.PAYMENTS = replace(settings.PAYMENTS, gateway=INSTANT)
    placed = [place(number, payment_method=token).status_code for number, token in enumerate(TOKENS)]
    drain()
    with monkeypatch.context() as patch:
        patch.setattr(services, "confirm_orders", break_the_database)
        place(4)
        drain()
    operate()
    drain()

    assert (placed, rejected) == ([201] * 4, [400, 400, 401, 400, 401, 200])
    failed = set(Attempt.objects.values_list("error_class", flat=True))
    assert {"ValueError", "IntegrityError"} <= failed
    errors = [*Notification.objects.exclude(error="").values_list("error", flat=True)]
    assert [error for error in errors if any(canary in error for canary in CANARIES)] == []
    assert any("550" in error for error in errors)
    assert tables_naming(CANARIES) == WITH_CONTACT_DATA
    assert [line for line in log if any(canary in line for canary in CANARIES)] == []
    assert len(log) > 20
