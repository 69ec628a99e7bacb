import pytest

from messaging.contracts import WebhookReceived
from payments.models import WebhookEvent
from payments.webhooks import inbox
from tests.outbox import announced, published
from tests.payments.scenes import NOON, deliver, payload_of, unopened_intent, webhook_statuses

pytestmark = pytest.mark.django_db


class TestReceive:
    def test_stores_the_claim_and_publishes_that_it_was_received(self, ledger):
        intent = unopened_intent()

        deliver(ledger, payload_of(intent, event_id="evt_1"))

        webhook = WebhookEvent.objects.get()
        assert (webhook.event_id, bytes(webhook.body)) == ("evt_1", b"evt_1")
        about = (webhook.charge_key, webhook.order_id, webhook.reference)
        assert about == (str(intent.pk), intent.order_id, f"instant-{intent.pk}")
        assert (webhook.outcome, webhook.amount, webhook.currency) == ("succeeded", 4_500, "GBP")
        assert (webhook.status, webhook.received_at, webhook.settled_at) == ("received", NOON, None)
        assert published(WebhookReceived) == [WebhookReceived(story=str(intent.order_id), webhook_id=str(webhook.pk))]

    def test_accepts_an_order_id_and_a_charge_that_are_not_ours(self, ledger):
        deliver(ledger, payload_of(unopened_intent(), order_id="order-1", charge_key="pi_1"))

        assert WebhookEvent.objects.values_list("order_id", "charge_key").get() == (None, "pi_1")
        assert [event.key for event in published(WebhookReceived)] == ["pi_1"]

    def test_stores_nothing_that_is_not_about_a_charge(self, ledger, monkeypatch):
        monkeypatch.setattr(ledger, "read_webhook", lambda body, headers, *, now: None)

        inbox.receive(b"a customer was created", {}, now=NOON)

        assert (webhook_statuses(), announced()) == ([], {})
