"""Payments at a gateway that takes 300 ms for every answer, and calls a real web server back."""

import time

from payments.models import PaymentIntent, WebhookEvent
from tests.waiting import eventually

from .figures import place, wait_until_delivered

PATIENCE_SECONDS = 600


def charges(orders: int = 1_000) -> dict[str, float]:
    """
    Return the charges per second that the gateway answers, and the payments per second that end, from the first order
    placed: each payment is charged, called back and looked up by the same workers, and its customer is mailed.

    :raises AssertionError: if a webhook was not stored and processed.
    """
    charged = PaymentIntent.objects.exclude(provider_reference="")
    paid = PaymentIntent.objects.filter(status="succeeded")
    processed = WebhookEvent.objects.filter(status="settled")
    expected, start = paid.count() + orders, time.perf_counter()
    place(orders)
    eventually(lambda: charged.count() >= expected, within=PATIENCE_SECONDS)
    charging_seconds = time.perf_counter() - start
    eventually(lambda: paid.count() >= expected, within=PATIENCE_SECONDS)
    wait_until_delivered()
    paying_seconds = time.perf_counter() - start
    eventually(lambda: processed.count() >= expected, within=PATIENCE_SECONDS)
    return {
        "charges/s": orders / charging_seconds,
        "payments/s": orders / paying_seconds,
        "webhooks processed": processed.count(),
    }
