from collections.abc import Callable
from datetime import timedelta
from importlib import import_module
from uuid import uuid4

import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth import get_user_model
from django.contrib.sessions.models import Session
from django.db import transaction
from django.test import Client
from django.utils import timezone

import notifications.erasure
from messaging.contracts import ContactDataErased, CustomerErased, PasswordResetRequested, SignUpRequested
from messaging.models import Attempt, Delivery, OutboxMessage
from messaging.outbox import publish, publish_all
from notifications import suppressions
from notifications.models import Notification, Preference
from notifications.preferences import choose
from orders.models import Order, OrderNote
from orders.placing import place_orders
from payments.models import PaymentIntent, WebhookEvent
from payments.refunds import refund
from shop.accounts.passwords import request_reset
from shop.operations import audit, erasure
from tests.canaries import tables_naming
from tests.factories import CustomerFactory, api_of, make_draft, make_signing_key, make_stock, place_order
from tests.outbox import allowed_for_a_hundredfold, counting_statements
from tests.snapshot import snapshot

pytestmark = pytest.mark.django_db

NAME, EMAIL, PHONE, NOTE = "mirabel", "mirabel.quux@example.net", "+441134969999", "Leave it with the zebra"
CANARIES = (NAME, EMAIL, PHONE, NOTE)


@pytest.fixture
def mirabel(drain):
    """
    A customer with orders that were confirmed, partly refunded, declined and out of stock; whose mail failed once; who
    is logged in and has a token and a signing key; and about whom an operator wrote notes.
    """
    make_stock(10)
    customer = CustomerFactory(username=NAME, email=EMAIL, first_name="Mirabel")
    about = {"customer_id": customer.pk, "email": EMAIL, "phone": PHONE, "note": NOTE}
    orders = [place_order(**about | {"payment_method": token}) for token in ("tok_visa", "tok_declined")]
    orders.append(place_order({"RED-CHAIR": 99}, **about))
    drain()
    refund(str(orders[0].pk), amount=500, reason="a scratch", now=timezone.now())
    drain()
    suppressions.add({Notification.objects.filter(recipient=EMAIL)[0]: "bounced"}, now=timezone.now())
    fail_a_delivery_of(orders[0])
    store_webhook_of(orders[0])
    make_signing_key(customer)
    choose(str(customer.pk), {("payment_due_soon", "sms"): False})
    request_reset(EMAIL, now=timezone.now())
    customer.set_password("four green chairs")
    customer.save()
    drain()
    request_reset(EMAIL, now=timezone.now())
    api_of(NAME)
    Client().force_login(customer)
    olga = CustomerFactory(username="olga", is_staff=True)
    LogEntry.objects.log_actions(str(olga.pk), [customer], CHANGE, "Changed.")
    LogEntry.objects.log_actions(str(olga.pk), orders[:1], CHANGE, f"Cancelled. Reason: {NAME} rang.")
    OrderNote.objects.create(order=orders[0], text=f"{NAME} rang.", author="olga", at=timezone.now())
    return customer


def killed_after(calls: int, erase: Callable[..., None]) -> Callable[..., None]:
    """
    Return a function that erases so often, and is killed then.
    """
    left = iter(range(calls))

    def erase_or_die(*rows: object) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt
        erase(*rows)

    return erase_or_die


def fail_a_delivery_of(order: Order) -> None:
    delivery = Delivery.objects.filter(subscriber="notifications.send_confirmation", key=str(order.pk)).get()
    told = f"The provider rejected {EMAIL}."
    about = {"number": 1, "failed_at": timezone.now(), "error_class": "Permanent"}
    Attempt.objects.create(delivery=delivery, error=told, traceback=f"Traceback: {told}", **about)


def store_webhook_of(order: Order) -> None:
    intent = PaymentIntent.objects.get(order_id=order.pk)
    claim = {"outcome": "succeeded", "amount": order.total, "currency": "GBP", "status": "settled"}
    WebhookEvent.objects.create(
        event_id="evt_1",
        body=f'{{"billing_details": {{"email": "{EMAIL}"}}}}'.encode(),
        fingerprint="f",
        charge_key=str(intent.pk),
        received_at=timezone.now(),
        **claim,
    )


class TestErase:
    def test_removes_contact_data_from_every_table_and_keeps_the_books(self, mirabel, drain):
        books = Order.objects.values_list("pk", "status", "total", "refunded")
        before, violated = list(books), audit.run(now=timezone.now()).violated

        erasure.erase(mirabel)

        assert tables_naming(CANARIES) == set()
        assert not Session.objects.exists()
        assert (violated, audit.run(now=timezone.now()).violated) == ([], [])
        assert list(books) == before
        user = get_user_model().objects.get(pk=mirabel.pk)
        assert (user.username, user.is_active, user.has_usable_password()) == (f"erased-{user.pk}", False, False)
        drain(after=timedelta(hours=2))
        assert audit.run(now=timezone.now() + timedelta(hours=2)).violated == []

    def test_keeps_the_data_of_others(self, mirabel, drain):
        order = place_order(customer_id=CustomerFactory(username="bob").pk, email="bob@example.com", phone=PHONE)
        drain()

        erasure.erase(mirabel)

        order.refresh_from_db()
        assert (order.email, order.phone) == ("bob@example.com", PHONE)
        assert Notification.objects.filter(recipient="bob@example.com").exists()

    def test_deletes_what_the_customer_chose(self, mirabel):
        assert erasure.rows(mirabel)["notification preferences"] == 1

        erasure.erase(mirabel)

        assert not Preference.objects.exists()

    def test_is_published_for_services_that_have_databases_of_their_own(self, mirabel):
        erasure.erase(mirabel)

        erased = OutboxMessage.objects.filter(type=ContactDataErased.type).values_list("key", flat=True)
        assert set(erased) == {str(order.pk) for order in Order.objects.all()}
        assert OutboxMessage.objects.get(type=CustomerErased.type).key == str(mirabel.pk)

    def test_is_published_with_the_erasure_of_the_account_or_not_at_all(self, mirabel, monkeypatch):
        with monkeypatch.context() as patch:
            patch.setattr(erasure.orders.erasure, "publish_erased", killed_after(0, print))
            with pytest.raises(KeyboardInterrupt):
                erasure.erase(mirabel)
        assert erasure.rows(mirabel)["user"] == 1

        erasure.erase(mirabel)

        assert OutboxMessage.objects.filter(type=CustomerErased.type).count() == 1

    def test_may_be_repeated(self, mirabel):
        erasure.erase(mirabel)
        once = snapshot()

        erasure.erase(mirabel)

        assert erasure.rows(mirabel) == {}
        assert snapshot() == once

    @pytest.mark.parametrize("batches", [0, 1, 2])
    @pytest.mark.parametrize("context", ["payments", "messaging", "notifications", "orders"])
    def test_is_finished_by_another_run_if_it_was_killed(self, mirabel, monkeypatch, context, batches):
        monkeypatch.setattr(erasure, "BATCH_ORDERS", 1)
        module = import_module(f"{context}.erasure")
        with monkeypatch.context() as patch:
            patch.setattr(module, "erase", killed_after(batches, module.erase))
            with pytest.raises(KeyboardInterrupt):
                erasure.erase(mirabel)

        erasure.erase(mirabel)

        assert tables_naming(CANARIES) == set()

    def test_is_refused_while_an_order_is_open(self, mirabel):
        order = place_order(customer_id=mirabel.pk)
        before = snapshot()

        with pytest.raises(erasure.OpenOrders, match=f"1 order is open: {order.number}. Cancel it, or wait"):
            erasure.erase(mirabel)

        assert snapshot() == before

    def test_reports_what_a_worker_wrote_meanwhile(self, mirabel, monkeypatch):
        monkeypatch.setattr(notifications.erasure, "erase", lambda order_ids: None)

        with pytest.raises(erasure.WrittenMeanwhile, match="Run the command again"):
            erasure.erase(mirabel)

    def test_costs_as_many_statements_for_two_hundred_orders_as_for_two(self):
        make_stock(1_000)
        few, many = CustomerFactory(username="few"), CustomerFactory(username="many")
        place_orders([make_draft(customer_id=few.pk) for _ in range(2)], now=timezone.now())
        place_orders([make_draft(customer_id=many.pk) for _ in range(200)], now=timezone.now())
        Order.objects.update(status="cancelled", cancel_reason="expired")

        with counting_statements() as for_two:
            erasure.erase(few)
        with counting_statements() as for_many:
            erasure.erase(many)

        assert len(for_many) <= allowed_for_a_hundredfold(len(for_two))


class TestEventsOfErasure:
    def test_erase_what_contexts_elsewhere_store(self, mirabel, drain):
        about = [ContactDataErased(order_id=str(order.pk)) for order in Order.objects.all()]

        with transaction.atomic():
            publish_all([*about, CustomerErased(customer_id=str(mirabel.pk))])
        drain()

        left = tables_naming([EMAIL, PHONE])
        assert left == {"auth_user", "orders_order", "orders_firstanswer"}
        assert not Preference.objects.exists()

    def test_erase_the_mails_about_a_sign_up_that_was_before_the_account(self, drain):
        expires_at = (timezone.now() + timedelta(hours=1)).isoformat()
        requests = [SignUpRequested(request_id=str(uuid4()), email=EMAIL, expires_at=expires_at) for _ in range(2)]
        with transaction.atomic():
            publish_all(requests)
        drain()
        assert tables_naming([EMAIL]) == {"messaging_outboxmessage", "notifications_notification"}

        with transaction.atomic():
            publish(CustomerErased(customer_id="17", sign_ups=(requests[0].request_id,)))
        drain()

        assert tables_naming([EMAIL]) == set()

    def test_leave_another_customer_of_the_same_mailbox_alone(self, drain):
        expires_at = (timezone.now() + timedelta(hours=1)).isoformat()
        sign_up = SignUpRequested(request_id=str(uuid4()), email=EMAIL, expires_at=expires_at)
        of_another = PasswordResetRequested(
            request_id=str(uuid4()), customer_id="18", email=EMAIL, username="till-18", expires_at=expires_at
        )
        with transaction.atomic():
            publish_all([sign_up, of_another])
        drain()

        with transaction.atomic():
            publish(CustomerErased(customer_id="17", sign_ups=(sign_up.request_id,)))
        drain()

        assert [each.customer_id for each in Notification.objects.filter(recipient=EMAIL)] == ["18"]
