"""
A connection to the SMS provider, by which SMS are sent one after another.
"""

import logging
from contextlib import suppress
from datetime import datetime

from django.conf import settings

from .models import Notification
from .outcomes import Outcome, Result, redacted
from .sms import SmsMessage, get_connection
from .sms.backends.base import BaseSmsBackend, SmsRejected, SmsUnavailable, SmsUnknown

logger = logging.getLogger(__name__)


class Texter:
    """
    One thread uses it. Backends limit the time of their calls by SMS_TIMEOUT, so that none has to be cut off.

    :param now: the time from which the provider counts how long a message is useful.
    """

    def __init__(self, now: datetime) -> None:
        self.is_down = False
        """Whether the provider takes no messages for now."""
        self.may_have_sent = False
        """Whether the provider may have accepted the SMS that is being sent, or failed."""
        self._now = now
        self._backend: BaseSmsBackend | None = None

    def send(self, notification: Notification) -> Outcome:
        """
        Send one SMS, unless an earlier attempt whose result is unknown has sent it.

        :raises Exception: if the backend has a defect.
        """
        self.may_have_sent = notification.status == Notification.Status.UNKNOWN
        try:
            provider_id = self._send(notification)
        except (SmsRejected, SmsUnavailable, SmsUnknown) as error:
            if not isinstance(error, SmsRejected):
                self.close()
            self.is_down |= isinstance(error, SmsUnavailable)
            suppression = error.suppression if isinstance(error, SmsRejected) else ""
            detail = _redacted(str(error), notification.recipient)
            return Outcome(_result_of(error), detail, suppression=suppression)
        logger.info("The provider accepted the SMS %s of order %s.", notification.kind, notification.order_id)
        return Outcome(Result.ACCEPTED, provider_id=provider_id)

    def cut_off(self) -> None:
        """
        Do nothing: a backend ends its calls itself.
        """

    def close(self) -> None:
        """
        Close the connection, if there is one.
        """
        backend, self._backend = self._backend, None
        if backend:
            with suppress(Exception):
                backend.close()

    def _send(self, notification: Notification) -> str:
        """
        Return the provider's id of a message, which it has sent before or sends now.
        """
        backend, message = self._open(), _message_of(notification, self._now)
        if notification.attempts and (provider_id := self._look_up(backend, message, notification)):
            return provider_id
        self.may_have_sent = True
        return backend.send(message)

    def _look_up(self, backend: BaseSmsBackend, message: SmsMessage, notification: Notification) -> str:
        """
        Return the provider's id of a message that an earlier attempt has sent; an empty text if none has. The one that
        was accepted before an operator had the notification sent again is another message.
        """
        try:
            provider_id = backend.look_up(message, since=notification.created_at)
        except SmsUnavailable as error:
            if not self.may_have_sent:
                raise
            self.is_down = True
            raise SmsUnknown(str(error)) from error
        return "" if provider_id == notification.provider_id else provider_id

    def _open(self) -> BaseSmsBackend:
        if not settings.NOTIFICATIONS.sms_backend:
            raise SmsUnavailable("SMS_BACKEND is not set.")
        if not self._backend:
            backend = get_connection()
            backend.open()
            self._backend = backend
        return self._backend


def _message_of(notification: Notification, now: datetime) -> SmsMessage:
    useful_until = notification.useful_until or now
    return SmsMessage(
        to=notification.recipient,
        body=notification.body,
        reference=str(notification.pk),
        valid_seconds=int((useful_until - now).total_seconds()),
    )


def _result_of(error: SmsRejected | SmsUnavailable | SmsUnknown) -> Result:
    match error:
        case SmsRejected(suppression="bounced"):
            return Result.NO_MAILBOX
        case SmsRejected():
            return Result.REJECTED
        case SmsUnavailable():
            return Result.UNAVAILABLE
        case SmsUnknown():
            return Result.UNKNOWN


def _redacted(text: str, number: str) -> str:
    return redacted(text.replace(number, "(number)").replace(number.removeprefix("+"), "(number)"), number)
