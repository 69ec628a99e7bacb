"""Accepted webhooks. Rejected ones are tested in tests/bad_input."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from django.db import OperationalError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test import Client
from django.utils import timezone
from standardwebhooks import Webhook

from messaging.contracts import PaymentAnomalyFound, WebhookReceived
from messaging.models import Delivery, OutboxMessage
from payments.models import WebhookEvent
from tests.outbox import full_disk_at, published
from tests.refusals import problem_of, send
from tests.snapshot import snapshot
from tests.threads import at_once
from tests.webhooks import DATA, SECRET, SIMULATED, WEBHOOKS, event, refusal, signed

pytestmark = pytest.mark.django_db

NEW_SECRET = "whsec_YSBuZXdlciBzZWNyZXQgb2YgdGhlIGdhdGV3YXkncw=="
REUSED = ("event_id_conflict", "This event id was already used with different content.")
STORED = (200, b'{"received":true}')
COUNTING_TABLES = frozenset(model._meta.db_table for model in (WebhookEvent, OutboxMessage, Delivery))


@pytest.fixture(autouse=True)
def _gateway_signs(settings):
    settings.PAYMENTS = replace(settings.PAYMENTS, gateway=SIMULATED, webhook_secrets=(SECRET,))


@pytest.fixture
def gateway() -> Client:
    return Client(raise_request_exception=False)


def send_webhook(gateway: Client, body: bytes, **options: object) -> tuple[int, bytes]:
    """Send a body, signed now unless the options say otherwise, and return the status and the body of the response."""
    headers = {name.replace("-", "_"): value for name, value in signed(body, **options).items()}
    response = send(gateway, "POST", WEBHOOKS, body, **headers)
    return response.status_code, response.content


class TestWebhook:
    def test_is_stored_as_received_and_published(self, gateway):
        before = timezone.now()

        assert send_webhook(gateway, event(), event_id="evt_7") == STORED

        (stored,) = WebhookEvent.objects.all()
        assert bytes(stored.body) == event()
        assert (stored.event_id, stored.status, stored.conflicts, stored.settled_at) == ("evt_7", "received", 0, None)
        assert before <= stored.received_at <= timezone.now()
        claimed = (stored.charge_key, stored.reference, str(stored.order_id), stored.outcome)
        assert claimed == (DATA["key"], DATA["reference"], DATA["order_id"], DATA["status"])
        assert (stored.amount, stored.currency) == (DATA["amount"], DATA["currency"])
        assert published(WebhookReceived) == [WebhookReceived(story=DATA["order_id"], webhook_id=str(stored.pk))]

    @pytest.mark.parametrize(
        "changes",
        [
            {"order_id": ""},
            {"order_id": "1"},
            {"order_id": "o\0"},
            {"order_id": "ö" * 3_000},
            {"order_id": DATA["order_id"] + "0"},
            {"key": "../../" + "k" * 94, "reference": "r" * 100},
            {"key": "..", "reference": ""},
            {"amount": 0},
            {"amount": 2**63 - 1},
            {"currency": "XXX"},
            {"status": "processing"},
            {"note": "\0"},
            {"livemode": True, "amounts": [0.5, -1, None]},
        ],
    )
    def test_is_stored_whatever_else_it_says(self, gateway, changes):
        assert send_webhook(gateway, event(**changes)) == STORED

        stored = WebhookEvent.objects.get()
        expected = DATA | {"order_id": None if "order_id" in changes else DATA["order_id"]}
        expected |= {name: value for name, value in changes.items() if name in DATA and name != "order_id"}
        assert expected == {
            "key": stored.charge_key,
            "reference": stored.reference,
            "order_id": stored.order_id and str(stored.order_id),
            "status": stored.outcome,
            "amount": stored.amount,
            "currency": stored.currency,
        }

    @pytest.mark.parametrize("size", [19_000, 20_000])
    def test_may_be_large(self, gateway, size):
        spaces = b" " * (size - len(event()))

        assert send_webhook(gateway, event() + spaces) == STORED

    @pytest.mark.parametrize("event_id", ["!", "e" * 255, "-/:~", "' OR 1=1 --".replace(" ", "+")])
    def test_may_have_any_id_without_a_full_stop(self, gateway, event_id):
        assert send_webhook(gateway, event(), event_id=event_id) == STORED

        assert WebhookEvent.objects.get().event_id == event_id

    @pytest.mark.parametrize("content_type", ["application/json", "Application/JSON ; charset=UTF-8"])
    def test_is_verified_as_the_library_signs_it(self, gateway, content_type):
        now = datetime.now(UTC)
        signature = Webhook(SECRET).sign("evt_1", now, event().decode())
        timestamp = str(int(now.timestamp()))
        headers = {"Webhook_Id": "evt_1", "Webhook_Timestamp": timestamp, "Webhook_Signature": signature}

        response = send(gateway, "POST", WEBHOOKS, event(), content_type=content_type, **headers)

        assert (response.status_code, response.content) == STORED

    @pytest.mark.parametrize(
        "signatures", ["{good} {bad}", "{bad} {good}", "v1a,x {good}", " {good} ", "v1 {good} {good}"]
    )
    def test_needs_one_valid_signature(self, gateway, signatures):
        headers = signed(event())
        good = headers["webhook-signature"]
        headers["webhook-signature"] = signatures.format(good=good, bad="v1," + "A" * 43 + "=")

        response = gateway.post(WEBHOOKS, event(), "application/json", headers=headers)

        assert (response.status_code, response.content) == STORED

    def test_may_be_signed_with_any_secret_during_a_rotation(self, gateway, settings):
        def configure(*secrets: str) -> None:
            settings.PAYMENTS = replace(settings.PAYMENTS, webhook_secrets=secrets)

        assert refusal(gateway, event(), signed(event(), secret=NEW_SECRET))[0] == "invalid_signature"
        configure(NEW_SECRET, SECRET)
        assert send_webhook(gateway, event(), event_id="old", secret=SECRET) == STORED
        assert send_webhook(gateway, event(), event_id="new", secret=NEW_SECRET) == STORED
        configure(NEW_SECRET)
        assert refusal(gateway, event(), signed(event(), secret=SECRET))[0] == "invalid_signature"
        assert send_webhook(gateway, event(), event_id="newer", secret=NEW_SECRET) == STORED
        configure()
        assert refusal(gateway, event(), signed(event(), secret=NEW_SECRET))[0] == "invalid_signature"


class TestRepeated:
    def test_is_stored_once(self, gateway):
        assert send_webhook(gateway, event()) == STORED
        before = snapshot()

        assert send_webhook(gateway, event(), at=timezone.now() - timedelta(seconds=60)) == STORED

        assert snapshot() == before

    @pytest.mark.django_db(transaction=True)
    def test_is_stored_once_of_twenty_at_once(self):
        calls = [lambda: send_webhook(Client(), event())] * 20

        responses = at_once(*calls)

        assert responses == [STORED] * 20
        assert (WebhookEvent.objects.count(), len(published(WebhookReceived))) == (1, 1)

    @pytest.mark.parametrize("other", [event(amount=4_501), event() + b"\n", event(order_id="")])
    def test_with_other_content_is_rejected_counted_and_reported_to_the_operator(self, gateway, caplog, other):
        send_webhook(gateway, event())
        before = snapshot(without=COUNTING_TABLES)

        for _ in range(2):
            response = gateway.post(WEBHOOKS, other, "application/json", headers=signed(other))
            problem = problem_of(response)
            assert (problem["code"], problem["detail"]) == REUSED

        stored = WebhookEvent.objects.get()
        assert (bytes(stored.body), stored.amount, stored.conflicts) == (event(), 4_500, 2)
        assert snapshot(without=COUNTING_TABLES) == before
        logged = [record.getMessage() for record in caplog.records if record.name == "payments.webhooks.inbox"]
        assert logged == ["Webhook evt_1 was received again with different content."] * 2
        assert published(PaymentAnomalyFound) == [
            PaymentAnomalyFound(
                order_id=DATA["order_id"], anomaly="event_id_conflict", amount=4_500, currency="GBP", detail="evt_1"
            )
        ]

    @pytest.mark.django_db(transaction=True)
    def test_is_stored_with_one_of_eight_contents_at_once(self):
        bodies = [event(amount=amount) for amount in range(1, 9)]

        responses = at_once(*[lambda body=body: send_webhook(Client(), body)[0] for body in bodies])

        assert sorted(responses) == [200] + [409] * 7
        assert WebhookEvent.objects.get().conflicts == 7


class TestCommit:
    @pytest.mark.parametrize("table", ["payments_webhookevent", "messaging_outboxmessage", "messaging_delivery"])
    def test_comes_before_the_response(self, gateway, table):
        before = snapshot()

        with full_disk_at(table), transaction.atomic():
            status, _ = send_webhook(gateway, event())
            transaction.set_rollback(True)

        assert status >= 500
        assert snapshot() == before
        assert send_webhook(gateway, event()) == STORED
        assert (WebhookEvent.objects.count(), len(published(WebhookReceived))) == (1, 1)

    @pytest.mark.django_db(transaction=True)
    def test_is_complete_before_the_response(self, gateway, monkeypatch):
        def fail(*_: object) -> None:
            raise OperationalError("The disk is full.")

        with monkeypatch.context() as patched:
            patched.setattr(BaseDatabaseWrapper, "_commit", fail)
            assert refusal(gateway, event(), signed(event()))[0] == "unavailable"

        assert send_webhook(gateway, event()) == STORED
        assert (WebhookEvent.objects.count(), len(published(WebhookReceived))) == (1, 1)

    def test_fails_with_the_database_and_tells_the_gateway_to_retry(self, gateway, outage):
        headers = signed(event())

        response = outage.submit(gateway.post, WEBHOOKS, event(), "application/json", headers=headers).result()

        assert problem_of(response)["code"] == "unavailable"
        assert int(response.headers["Retry-After"]) > 0
        assert gateway.post(WEBHOOKS, event(), "application/json", headers=headers).status_code == 200

    def test_is_not_attempted_for_an_unsigned_webhook(self, gateway, outage):
        response = outage.submit(gateway.post, WEBHOOKS, event(), "application/json").result()

        assert problem_of(response)["code"] == "invalid_signature"
