"""
SMS, sent by the backend that the setting SMS_BACKEND names, as `django.core.mail` sends mail by EMAIL_BACKEND.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.conf import settings
from django.utils.module_loading import import_string

if TYPE_CHECKING:
    from .backends.base import BaseSmsBackend


@dataclass(frozen=True, kw_only=True)
class SmsMessage:
    to: str
    """In E.164 format."""
    body: str
    reference: str
    """Our id of the message, which delivery receipts name."""
    valid_seconds: int
    """The provider is to send it within this time, or not at all."""


outbox: list[SmsMessage] = []
"""What the memory backend has sent, in this process."""


def get_connection() -> "BaseSmsBackend":
    """
    Return a new instance of the backend, to be used as a context manager.
    """
    backend: type[BaseSmsBackend] = import_string(settings.NOTIFICATIONS.sms_backend)
    return backend()
