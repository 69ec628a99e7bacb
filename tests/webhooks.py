"""
Webhooks of the payment gateway, signed by Standard Webhooks without the library that verifies them.
"""

import hmac
import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from typing import Any

from django.test import Client
from django.utils import timezone

from tests.refusals import refused

WEBHOOKS = "/api/v1/webhooks/payments/"
SIMULATED = "payments.gateway.adapters.simulated.SimulatedGateway"
SECRET = "whsec_dGhlIGdhdGV3YXkgYW5kIHRoZSBzaG9wIGtub3cgaXQ="
"""Used by tests only: base64 of a sentence."""

DATA: Mapping[str, Any] = {
    "key": "0199a5c0-0b77-7d10-8c55-9a4be0a4f2d0",
    "reference": "ch_1",
    "order_id": "0199a5c0-0b5e-7c3f-9d3a-2f6b8f0e7c11",
    "status": "succeeded",
    "amount": 4_500,
    "currency": "GBP",
}


def event(**changes: Any) -> bytes:
    """
    Return the body of a valid event with these changes; an ellipsis leaves a member out.
    """
    data = {name: value for name, value in (DATA | changes).items() if value is not ...}
    return json.dumps({"type": "charge.updated", "data": data}).encode()


def signed(
    body: bytes, *, secret: str = SECRET, event_id: str = "evt_1", timestamp: str = "", at: datetime | None = None
) -> dict[str, str]:
    """
    Return the headers of a body that is signed now, or at another moment.
    """
    timestamp = timestamp or str(int((at or timezone.now()).timestamp()))
    content = b".".join([event_id.encode(), timestamp.encode(), body])
    code = hmac.new(b64decode(secret.removeprefix("whsec_")), content, sha256).digest()
    return {
        "webhook-id": event_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{b64encode(code).decode()}",
    }


def refusal(client: Client, body: bytes, headers: Mapping[str, str], **options: str) -> tuple[str, str]:
    """
    Send a webhook that changes nothing, and return the code and the detail of the error.
    """
    named = {name.replace("-", "_"): value for name, value in headers.items()}
    problem = refused(client, "POST", WEBHOOKS, body, **named, **options)
    return problem["code"], problem["detail"]
