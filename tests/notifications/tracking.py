"""
Tracking webhooks of mail providers, and the settings by which the shop verifies them.
"""

import hmac
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from django.http import HttpResponse
from django.test import Client

from notifications.models import Notification

URL = "/api/v1/webhooks/email/"
SECRET = "postmark:a shared secret"
AUTHORIZATION = f"Basic {b64encode(SECRET.encode()).decode()}"


def use_provider(settings: Any, name: str, **anymail: str) -> None:
    """
    Take the webhooks of a provider, verified by SECRET unless another key is given.
    """
    settings.NOTIFICATIONS = replace(settings.NOTIFICATIONS, email_tracking=name)
    settings.ANYMAIL = anymail or {"WEBHOOK_SECRET": SECRET}


def post(body: object, *, authorization: str = AUTHORIZATION, client: Client | None = None) -> HttpResponse:
    """
    Send a webhook with the secret.
    """
    headers = {"Authorization": authorization} if authorization else {}
    return (client or Client()).post(URL, body, "application/json", headers=headers)


def postmark(notification: Notification | None, record: str, **fields: object) -> dict[str, object]:
    """
    Return a webhook of Postmark about a notification.
    """
    metadata = {"notification": str(notification.pk)} if notification else {}
    return {"RecordType": record, "MessageID": "pm-1", "Metadata": metadata, **fields}


def sparkpost(notification: Notification, kind: str, **fields: object) -> dict[str, object]:
    """
    Return one event of a webhook of SparkPost, which has many.
    """
    about = {"rcpt_meta": {"notification": str(notification.pk)}, "transmission_id": f"sp-{notification.pk}"}
    return {"msys": {"message_event": {"type": kind, "timestamp": "1700000000", **about, **fields}}}


def mailgun(notification: Notification, event: str, *, key: str, **fields: object) -> Mapping[str, object]:
    """
    Return a webhook of Mailgun, signed with its key.
    """
    code = hmac.digest(key.encode(), b"1700000000token", "sha256").hex()
    signature = {"token": "token", "timestamp": "1700000000", "signature": code}
    data = {"event": event, "timestamp": 1_700_000_000, "user-variables": {"notification": str(notification.pk)}}
    return {"signature": signature, "event-data": data | fields}


def state_of(notification: Notification) -> tuple[str, str]:
    """
    Return the status and the reason of a notification by now.
    """
    return Notification.objects.values_list("status", "reason").get(pk=notification.pk)
