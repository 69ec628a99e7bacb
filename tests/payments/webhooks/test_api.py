"""
What becomes of what the payment gateway calls back with. What is refused is in tests/bad_input.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from django.db import OperationalError, connection, transaction
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
from tests.webhooks import DATA, SECRET, SIMULATED, WEBHOOKS, event, signed, told

pytestmark = pytest.mark.django_db

NEW_SECRET = "whsec_YSBuZXdlciBzZWNyZXQgb2YgdGhlIGdhdGV3YXkncw=="
REUSED = ("event_id_conflict", "This event id was already used with different content.")
TAKEN = (200, b'{"received":true}')
CLOSED_PORT = 1
NOTED = frozenset(model._meta.db_table for model in (WebhookEvent, OutboxMessage, Delivery))


@pytest.fixture(autouse=True)
def _gateway_signs(settings):
    settings.PAYMENTS = replace(settings.PAYMENTS, gateway=SIMULATED, webhook_secrets=(SECRET,))


@pytest.fixture
def gateway() -> Client:
    return Client(raise_request_exception=False)


def call_back(gateway: Client, body: bytes, **options: object) -> tuple[int, bytes]:
    """
    Call back with a body, signed for now unless the options say otherwise.
    """
    headers = {name.replace("-", "_"): value for name, value in signed(body, **options).items()}
    answer = send(gateway, "POST", WEBHOOKS, body, **headers)
    return answer.status_code, answer.content


class TestWebhook:
    def test_is_stored_as_it_came_and_announced_to_ourselves(self, gateway):
        before = timezone.now()

        assert call_back(gateway, event(), event_id="evt_7") == TAKEN

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
    def test_is_taken_whatever_else_it_says(self, gateway, changes):
        assert call_back(gateway, event(**changes)) == TAKEN

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

        assert call_back(gateway, event() + spaces) == TAKEN

    @pytest.mark.parametrize("event_id", ["!", "e" * 255, "-/:~", "' OR 1=1 --".replace(" ", "+")])
    def test_has_an_id_of_the_gateways(self, gateway, event_id):
        assert call_back(gateway, event(), event_id=event_id) == TAKEN

        assert WebhookEvent.objects.get().event_id == event_id

    @pytest.mark.parametrize("seconds", [-298, 0, 298])
    def test_may_be_five_minutes_old_or_ahead(self, gateway, seconds):
        assert call_back(gateway, event(), at=timezone.now() + timedelta(seconds=seconds)) == TAKEN

    @pytest.mark.parametrize("content_type", ["application/json", "Application/JSON ; charset=UTF-8"])
    def test_is_genuine_as_the_library_signs_it(self, gateway, content_type):
        now = datetime.now(UTC)
        signature = Webhook(SECRET).sign("evt_1", now, event().decode())
        headers = {
            "Webhook_Id": "evt_1",
            "Webhook_Timestamp": str(int(now.timestamp())),
            "Webhook_Signature": signature,
        }

        answer = send(gateway, "POST", WEBHOOKS, event(), content_type=content_type, **headers)

        assert (answer.status_code, answer.content) == TAKEN

    @pytest.mark.parametrize(
        "signatures", ["{good} {bad}", "{bad} {good}", "v1a,x {good}", " {good} ", "v1 {good} {good}"]
    )
    def test_needs_one_good_signature(self, gateway, signatures):
        headers = signed(event())
        good = headers["webhook-signature"]
        headers["webhook-signature"] = signatures.format(good=good, bad="v1," + "A" * 43 + "=")

        answer = gateway.post(WEBHOOKS, event(), "application/json", headers=headers)

        assert (answer.status_code, answer.content) == TAKEN

    def test_may_be_signed_by_either_secret_while_they_change(self, gateway, settings):
        def now_know(*secrets: str) -> None:
            settings.PAYMENTS = replace(settings.PAYMENTS, webhook_secrets=secrets)

        assert told(gateway, event(), signed(event(), secret=NEW_SECRET))[0] == "invalid_signature"
        now_know(NEW_SECRET, SECRET)
        assert call_back(gateway, event(), event_id="old", secret=SECRET) == TAKEN
        assert call_back(gateway, event(), event_id="new", secret=NEW_SECRET) == TAKEN
        now_know(NEW_SECRET)
        assert told(gateway, event(), signed(event(), secret=SECRET))[0] == "invalid_signature"
        assert call_back(gateway, event(), event_id="newer", secret=NEW_SECRET) == TAKEN
        now_know()
        assert told(gateway, event(), signed(event(), secret=NEW_SECRET))[0] == "invalid_signature"


class TestRepeated:
    def test_is_taken_and_stored_once(self, gateway):
        assert call_back(gateway, event()) == TAKEN
        before = snapshot()

        assert call_back(gateway, event(), at=timezone.now() - timedelta(seconds=60)) == TAKEN

        assert snapshot() == before

    @pytest.mark.django_db(transaction=True)
    def test_is_stored_once_though_it_comes_twenty_times_at_once(self):
        calls = [lambda: call_back(Client(), event())] * 20

        answers = at_once(*calls)

        assert answers == [TAKEN] * 20
        assert (WebhookEvent.objects.count(), len(published(WebhookReceived))) == (1, 1)

    @pytest.mark.parametrize("other", [event(amount=4_501), event() + b"\n", event(order_id="")])
    def test_is_refused_counted_and_told_to_the_operator_when_it_says_something_else(self, gateway, caplog, other):
        call_back(gateway, event())
        before = snapshot(without=NOTED)

        for _ in range(2):
            answer = gateway.post(WEBHOOKS, other, "application/json", headers=signed(other))
            problem = problem_of(answer)
            assert (problem["code"], problem["detail"]) == REUSED

        stored = WebhookEvent.objects.get()
        assert (bytes(stored.body), stored.amount, stored.conflicts) == (event(), 4_500, 2)
        assert snapshot(without=NOTED) == before
        logged = [record.getMessage() for record in caplog.records if record.name == "payments.webhooks.inbox"]
        assert logged == ["Webhook evt_1 was received again with different content."] * 2
        assert published(PaymentAnomalyFound) == [
            PaymentAnomalyFound(
                order_id=DATA["order_id"], anomaly="event_id_conflict", amount=4_500, currency="GBP", detail="evt_1"
            )
        ]

    @pytest.mark.django_db(transaction=True)
    def test_is_taken_in_one_wording_though_others_come_at_once(self):
        bodies = [event(amount=amount) for amount in range(1, 9)]

        answers = at_once(*[lambda body=body: call_back(Client(), body)[0] for body in bodies])

        assert sorted(answers) == [200] + [409] * 7
        assert WebhookEvent.objects.get().conflicts == 7


class TestCommit:
    @pytest.mark.parametrize("table", ["payments_webhookevent", "messaging_outboxmessage", "messaging_delivery"])
    def test_comes_before_the_answer(self, gateway, table):
        before = snapshot()

        with full_disk_at(table), transaction.atomic():
            status, _ = call_back(gateway, event())
            transaction.set_rollback(True)

        assert status >= 500
        assert snapshot() == before
        assert call_back(gateway, event()) == TAKEN
        assert (WebhookEvent.objects.count(), len(published(WebhookReceived))) == (1, 1)

    @pytest.mark.django_db(transaction=True)
    def test_comes_to_an_end_before_the_answer(self, gateway, monkeypatch):
        def fail(*_: object) -> None:
            raise OperationalError("The disk is full.")

        with monkeypatch.context() as patched:
            patched.setattr(BaseDatabaseWrapper, "_commit", fail)
            assert told(gateway, event(), signed(event()))[0] == "unavailable"

        assert call_back(gateway, event()) == TAKEN
        assert (WebhookEvent.objects.count(), len(published(WebhookReceived))) == (1, 1)

    @pytest.fixture
    def outage(self, monkeypatch) -> Iterator[ThreadPoolExecutor]:
        """
        Put the database out of reach of whoever comes from now on, in another thread than the test's own.
        """
        gone = {"NAME": "/no/such/folder/shop.sqlite3"} if connection.vendor == "sqlite" else {"PORT": CLOSED_PORT}
        for name, value in gone.items():
            monkeypatch.setitem(connection.settings_dict, name, value)
        with ThreadPoolExecutor(max_workers=1) as elsewhere:
            yield elsewhere

    def test_fails_with_the_database_which_the_gateway_is_told_to_wait_for(self, gateway, outage):
        headers = signed(event())

        answer = outage.submit(gateway.post, WEBHOOKS, event(), "application/json", headers=headers).result()

        assert problem_of(answer)["code"] == "unavailable"
        assert int(answer.headers["Retry-After"]) > 0
        assert gateway.post(WEBHOOKS, event(), "application/json", headers=headers).status_code == 200

    def test_is_nothing_to_a_stranger_whatever_the_database_does(self, gateway, outage):
        answer = outage.submit(gateway.post, WEBHOOKS, event(), "application/json").result()

        assert problem_of(answer)["code"] == "invalid_signature"
