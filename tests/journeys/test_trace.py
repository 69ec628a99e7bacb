"""
One id leads from the request that places an order to its mail.
"""

import logging
from contextvars import Context
from uuid import uuid4

import pytest
from django.http import HttpResponse
from django.utils import timezone
from rest_framework.test import APIClient

from messaging.kernel.tracing import tracing
from messaging.models import OutboxMessage
from payments.models import PaymentIntent
from tests.commands import run_json
from tests.factories import make_stock, place_order
from tests.journeys.orders import mail_kinds
from tests.payments.scenes import deliver, payload_of

pytestmark = pytest.mark.django_db

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE_ID}-{'b' * 16}-01"


def place(api: APIClient, **headers: str) -> HttpResponse:
    lines = [{"sku": "RED-CHAIR", "quantity": 1}]
    body = {"lines": lines, "payment_method": "tok_visa", "expected_total": 4_500}
    return api.post("/api/v1/orders/", body, format="json", headers={"Idempotency-Key": uuid4().hex, **headers})


def trace_ids_of(order_id: str) -> set[str]:
    """
    Return the trace ids that `trace_order` prints for an order and its messages.
    """
    order_trace = run_json("trace_order", order_id)
    entries = [entry["trace_id"] for entry in order_trace["timeline"] if entry["context"] == "messaging"]
    return {order_trace["trace_id"], *entries}


class TestTrace:
    @pytest.mark.parametrize(("headers", "trace_id"), [({}, None), ({"traceparent": TRACEPARENT}, TRACE_ID)])
    def test_leads_from_the_request_to_the_mail(self, api, drain, caplog, *, headers, trace_id):
        caplog.set_level(logging.INFO, logger="notifications")
        make_stock(10)

        responses = [place(api, **headers), place(api)]
        Context().run(drain)  # as in a worker, without the context of the request

        orders = [response.json()["id"] for response in responses]
        ids = [trace_id or responses[0].headers["X-Request-Id"], responses[1].headers["X-Request-Id"]]
        assert [trace_ids_of(order) for order in orders] == [{id_} for id_ in ids]
        lines = {line.getMessage(): line.ids for line in caplog.records if line.name == "notifications.mail"}
        assert lines == {
            f"The provider accepted the mail {kind} of order {order}.": id_
            for order, id_ in zip(orders, ids, strict=True)
            for kind in ("order_received", "order_confirmed")
        }
        assert len(mail_kinds()) == 2

    def test_of_an_order_continues_when_a_webhook_arrives(self, drain, ledger):
        make_stock()
        order = place_order(payment_method="tok_pending")
        drain()
        [trace_id] = trace_ids_of(str(order.pk))
        intent = PaymentIntent.objects.get()
        ledger.approve(str(intent.pk))

        with tracing(TRACEPARENT):
            deliver(payload_of(intent), now=timezone.now())
        drain()

        assert OutboxMessage.objects.filter(type="orders.order_confirmed").exists()
        assert trace_ids_of(str(order.pk)) == {trace_id}
