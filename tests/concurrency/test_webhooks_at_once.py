"""Webhooks that arrive together at the endpoint, in threads and in a real web process that is killed."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from http.client import HTTPConnection
from threading import Barrier

import pytest
from django.db import transaction
from django.test import Client
from django.utils import timezone

from messaging.contracts import WebhookReceived
from payments.gateway.adapters.simulated import read_payload
from payments.models import WebhookEvent
from payments.webhooks import inbox
from tests.concurrency.environment import ENVIRONMENT
from tests.outbox import published
from tests.processes import database_url
from tests.programs import LOCALHOST, WebServer
from tests.threads import at_once
from tests.waiting import eventually
from tests.webhooks import DATA, SECRET, SIMULATED, WEBHOOKS, event, signed

pytestmark = pytest.mark.django_db(transaction=True)

OTHER_ORDER = "0199a5c0-0b5e-7c3f-9d3a-2f6b8f0e7c12"


@pytest.fixture(autouse=True)
def _gateway_signs(settings):
    settings.PAYMENTS = replace(settings.PAYMENTS, gateway=SIMULATED, webhook_secrets=(SECRET,))


def send(event_id: str, **changes: object) -> int:
    """Send a webhook to the endpoint in this process, and return the status of the response."""
    body = event(**changes)
    headers = signed(body, event_id=event_id)
    client = Client(raise_request_exception=False)
    return client.post(WEBHOOKS, body, "application/json", headers=headers).status_code


def store(event_id: str) -> None:
    payload = read_payload(event_id, event())
    inbox._webhook(payload, event(), timezone.now()).save()


def post(web: WebServer, event_id: str, *, when_sent: Callable[[], object] = lambda: None) -> int:
    """Send a webhook to a web process, and return the status of the response, 0 for none."""
    headers = signed(event(), event_id=event_id) | {"Content-Type": "application/json"}
    connection = HTTPConnection(LOCALHOST, web.port, timeout=60)
    connection.request("POST", WEBHOOKS, event(), headers)
    when_sent()
    try:
        return connection.getresponse().status
    except OSError:
        return 0


class TestThreads:
    def test_store_each_of_many_once(self):
        webhooks = [(f"evt_{number}", {}) for number in range(8)]
        webhooks += [(f"evt_{number}", {}) for number in range(4)]
        webhooks += [("evt_0", {"amount": 1}), ("evt_8", {"amount": 2}), ("evt_8", {"amount": 3})]

        statuses = at_once(*[partial(send, event_id, **changes) for event_id, changes in webhooks])

        assert Counter(statuses) in (Counter({200: 13, 409: 2}), Counter({200: 12, 409: 3}))
        stored = {webhook.event_id: webhook for webhook in WebhookEvent.objects.all()}
        assert sorted(stored) == [f"evt_{number}" for number in range(9)]
        assert Counter(item.webhook_id for item in published(WebhookReceived)) == {
            str(webhook.pk): 1 for webhook in stored.values()
        }
        assert sum(webhook.conflicts for webhook in stored.values()) == Counter(statuses)[409]

    def test_store_those_that_wait_together_in_the_order_of_their_arrival(self):
        with ThreadPoolExecutor(5) as threads:
            with transaction.atomic():
                store("evt_first")  # no other transaction can store this id
                sent = [threads.submit(send, "evt_first")]
                eventually(lambda: inbox._store._is_committing)
                for number, (event_id, order_id) in enumerate(
                    [("evt_z", DATA["order_id"]), ("evt_a", DATA["order_id"]), ("evt_m", OTHER_ORDER)], 1
                ):
                    sent.append(threads.submit(send, event_id, order_id=order_id))
                    eventually(lambda number=number: len(inbox._store._waiting) == number)
                assert not any(response.done() for response in sent)
                transaction.set_rollback(True)
            assert [response.result() for response in sent] == [200] * 4

        stored = WebhookEvent.objects.order_by("pk")
        assert [webhook.event_id for webhook in stored] == ["evt_first", "evt_z", "evt_a", "evt_m"]
        assert [item.webhook_id for item in published(WebhookReceived)] == [str(webhook.pk) for webhook in stored]


class TestWebProcess:
    def test_that_is_killed_has_acknowledged_only_what_it_has_stored(self, tmp_path):
        environment = ENVIRONMENT | {
            "DATABASE_URL": database_url(),
            "PAYMENT_GATEWAY": SIMULATED,
            "PAYMENT_SIMULATOR_IN_WEB": "off",
            "PAYMENT_WEBHOOK_SECRETS": SECRET,
        }
        ids = [f"evt_{number}" for number in range(6)]
        with WebServer(tmp_path / "web.log", "--workers", "1", environment=environment) as web:
            with ThreadPoolExecutor(len(ids)) as threads:
                with transaction.atomic():
                    store(ids[0])  # no other transaction can store this id
                    are_sent = Barrier(len(ids) + 1)
                    sent = [threads.submit(post, web, event_id, when_sent=are_sent.wait) for event_id in ids]
                    are_sent.wait()
                    eventually(web.is_ready)  # it answers this request after it has read the others
                    web.kill()
                    transaction.set_rollback(True)
                statuses = {event_id: response.result() for event_id, response in zip(ids, sent, strict=True)}
            # PostgreSQL may have committed a set without evt_0, also when the process was killed before its response
            stored = set(WebhookEvent.objects.values_list("event_id", flat=True))
            assert {event_id for event_id, status in statuses.items() if status} <= stored
            assert ids[0] not in stored

            web.start()

            assert at_once(*[partial(post, web, event_id) for event_id in ids]) == [200] * len(ids)
        assert sorted(WebhookEvent.objects.values_list("event_id", flat=True)) == ids
        assert len(published(WebhookReceived)) == len(ids)
