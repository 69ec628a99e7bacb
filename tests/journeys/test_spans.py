"""
With an SDK of OpenTelemetry, one trace leads from the request that places an order to its mail.
"""

import json
from collections.abc import Iterator
from contextvars import Context
from dataclasses import replace

import opentelemetry.trace
import pytest
from django.core import mail
from django.test import Client
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from messaging.kernel import spans
from messaging.models import OutboxMessage
from payments.models import PaymentIntent
from tests.factories import CustomerFactory, api_of, make_stock, place_order
from tests.journeys.test_canaries import CANARIES, NamesTheRecipient
from tests.journeys.test_canaries import place as place_canary
from tests.journeys.test_trace import TRACE_ID, TRACEPARENT, place
from tests.spans import Recorded, linked_from, trace_ids
from tests.webhooks import WEBHOOKS, event, signed

pytestmark = pytest.mark.django_db

TO_THE_MAIL = [
    "POST /api/v1/orders/",
    "publish orders.order_placed",
    "process inventory.reserve_stock",
    "publish inventory.stock_reserved",
    "process orders.request_payment",
    "publish orders.payment_requested",
    "process payments.take_payment",
    "publish payments.payment_succeeded",
    "process orders.confirm_order",
    "publish orders.order_confirmed",
    "process notifications.send_confirmation",
    "publish notifications.email_queued",
    "process notifications.send_email",
    "notifications.send_email",
]


@pytest.fixture
def chairs(db, drain) -> None:
    make_stock(100)
    drain()


@pytest.fixture
def recorded(chairs, monkeypatch) -> Iterator[Recorded]:
    """
    What is recorded in a shop with stock.
    """
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(opentelemetry.trace, "_TRACER_PROVIDER", provider)
    yield Recorded(exporter)
    provider.shutdown()


def deliver(drain) -> None:
    Context().run(drain)  # as in a worker, without the context of the request


class TestAnOrder:
    def test_is_one_trace_from_the_request_to_the_mail(self, api, drain, recorded):
        place(api)
        deliver(drain)

        assert len(trace_ids(recorded.all)) == 1
        assert [span.name for span in recorded.all if not span.parent] == [TO_THE_MAIL[0]]
        assert TO_THE_MAIL in [recorded.path_to(span) for span in recorded.named("notifications.send_email")]
        [charge] = recorded.named("payments.charge")
        assert recorded.path_to(charge)[:-1] == TO_THE_MAIL[:7]

    def test_has_spans_by_the_conventions(self, api, drain, recorded):
        order_id = place(api).json()["id"]
        deliver(drain)

        placed = OutboxMessage.objects.get(type="orders.order_placed")
        [request] = recorded.named("POST /api/v1/orders/")
        [published] = recorded.named("publish orders.order_placed")
        [processed] = recorded.named("process inventory.reserve_stock")
        [charge] = recorded.named("payments.charge")
        kinds = [span.kind for span in (request, published, processed, charge)]
        assert kinds == [SpanKind.SERVER, SpanKind.PRODUCER, SpanKind.CONSUMER, SpanKind.CLIENT]
        assert dict(request.attributes) == {
            "http.request.method": "POST",
            "http.route": "/api/v1/orders/",
            "http.response.status_code": 201,
            "url.scheme": "http",
        }
        assert dict(published.attributes) == {
            "messaging.system": "shop",
            "messaging.operation.name": "publish",
            "messaging.operation.type": "send",
            "messaging.destination.name": "orders.order_placed",
            "messaging.message.id": str(placed.pk),
            "messaging.message.conversation_id": str(placed.pk),
            "shop.message.key": order_id,
        }
        assert dict(processed.attributes) == {
            "messaging.system": "shop",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.name": "inventory.reserve_stock",
            "messaging.consumer.group.name": "inventory.reserve_stock",
            "messaging.message.id": str(placed.pk),
        }
        assert linked_from(processed) == {published.context.span_id}
        assert placed.traceparent == spans.traceparent_of(opentelemetry.trace.NonRecordingSpan(published.context))
        assert charge.attributes["shop.gateway.outcome"] == "succeeded"

    def test_goes_on_with_the_trace_of_the_caller(self, api, drain, recorded):
        place(api, traceparent=TRACEPARENT)
        deliver(drain)

        assert trace_ids(recorded.all) == {int(TRACE_ID, 16)}
        [request] = recorded.named("POST /api/v1/orders/")
        assert request.parent.span_id == int("b" * 16, 16)

    def test_is_not_recorded_if_the_caller_does_not_sample(self, api, drain, recorded):
        place(api, traceparent=TRACEPARENT.removesuffix("1") + "0")
        deliver(drain)

        assert recorded.all == ()
        placed = OutboxMessage.objects.get(type="orders.order_placed")
        of_the_order = OutboxMessage.objects.filter(correlation_id=placed.pk).values_list("traceparent", flat=True)
        assert {traceparent[:36] + traceparent[-3:] for traceparent in of_the_order} == {f"00-{TRACE_ID}--00"}

    def test_in_a_batch_stays_in_its_own_trace(self, api, drain, recorded):
        for _ in range(2):
            place(api)
        deliver(drain)

        requests = recorded.named("POST /api/v1/orders/")
        [batch] = recorded.named("process inventory.reserve_stock")
        published = recorded.named("publish orders.order_placed")
        assert (batch.parent, batch.attributes["messaging.batch.message_count"]) == (None, 2)
        assert linked_from(batch) == {span.context.span_id for span in published}
        reserved = recorded.named("publish inventory.stock_reserved")
        assert [span.parent.span_id for span in reserved] == [span.context.span_id for span in published]
        assert [linked_from(span) for span in reserved] == 2 * [{batch.context.span_id}]
        mails = recorded.named("notifications.send_email")
        assert trace_ids(mails) == trace_ids(requests) == trace_ids(recorded.named("payments.charge"))
        assert len(mails) == 4


class TestAWebhook:
    def test_goes_on_with_the_trace_of_its_order(self, drain, ledger, recorded):
        place_order(payment_method="tok_pending")
        deliver(drain)
        intent = PaymentIntent.objects.get()
        ledger.approve(str(intent.pk))

        body = event(key=str(intent.pk), order_id=str(intent.order_id), reference=f"instant-{intent.pk}")
        Client().post(WEBHOOKS, body, "application/json", headers=signed(body))
        deliver(drain)

        [request] = recorded.named("POST /api/v1/webhooks/payments/")
        [received] = recorded.named("publish payments.webhook_received")
        [placed] = recorded.named("publish orders.order_placed")
        [confirmed] = recorded.named("publish orders.order_confirmed")
        assert linked_from(received) == {request.context.span_id}
        assert trace_ids([received, confirmed]) == trace_ids([placed]) != trace_ids([request])


class TestAFailure:
    def test_names_its_class_and_no_contact_data(self, drain, recorded, settings, customer_with_canaries):
        settings.EMAIL_BACKEND = f"{NamesTheRecipient.__module__}.NamesTheRecipient"
        for number, method in enumerate(("tok_visa", "tok_declined", "tok_visa")):
            assert place_canary(number, payment_method=method).status_code == 201
        api_of("canary").get("/unsubscribe/secret-token-of-a-link/")
        Client().get("/api/v1/orders/?email=" + CANARIES[0], headers={"Authorization": "Bearer secret-token"})
        deliver(drain)

        failed = {span.attributes["error.type"] for span in recorded.all if span.status.status_code is StatusCode.ERROR}
        assert {"no mailbox", "ValueError"} <= failed
        exported = json.dumps([json.loads(span.to_json()) for span in recorded.all])
        assert [canary for canary in (*CANARIES, "secret-token", "tok_visa") if canary in exported] == []
        assert len(recorded.all) > 50


@pytest.fixture
def customer_with_canaries(settings) -> None:
    settings.MESSAGING = replace(settings.MESSAGING, max_attempts=1)
    CustomerFactory(username="canary", email=CANARIES[0])


class TestWithoutAnSDK:
    def test_no_span_is_begun(self, chairs, api, drain, monkeypatch):
        monkeypatch.setattr(spans, "_tracer", None)
        place(api)
        deliver(drain)

        assert not spans.is_on()
        assert len(mail.outbox) == 2
