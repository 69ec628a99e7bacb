import pytest
from django.db import transaction

from messaging.contracts import WebhookReceived
from payments.models import WebhookEvent
from payments.webhooks import inbox
from tests.outbox import announced, counting_statements, published
from tests.payments.books import webhook_statuses
from tests.payments.scenes import NOON, deliver, payload_of, unopened_intent

pytestmark = pytest.mark.django_db


class TestReceive:
    def test_accepts_an_order_id_and_a_charge_that_are_not_ours(self, ledger):
        deliver(payload_of(unopened_intent(), order_id="order-1", charge_key="pi_1"))

        assert WebhookEvent.objects.values_list("order_id", "charge_key").get() == (None, "pi_1")
        assert [event.key for event in published(WebhookReceived)] == ["pi_1"]

    def test_stores_nothing_that_is_not_about_a_charge(self, ledger, monkeypatch):
        monkeypatch.setattr(ledger, "read_webhook", lambda body, headers, *, now: None)

        inbox.receive(b"a customer was created", {}, now=NOON)

        assert (webhook_statuses(), announced()) == ([], {})

    def test_takes_four_statements(self, ledger):
        with counting_statements() as statements, transaction.atomic():
            deliver(payload_of(unopened_intent()))

        tables = [
            next(table for table in ("webhookevent", "outboxmessage", "delivery") if table in statement["sql"])
            for statement in statements
            if "SAVEPOINT" not in statement["sql"]
        ]
        assert tables == ["webhookevent", "outboxmessage", "outboxmessage", "delivery"]
