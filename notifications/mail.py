"""
A connection to the mail provider, by which mails are sent one after another.
"""

import logging
from contextlib import suppress
from email.utils import format_datetime, parseaddr
from smtplib import SMTPRecipientsRefused
from typing import Any

from django.conf import settings
from django.core.mail import EmailMultiAlternatives, get_connection

from shop.http import one_time_links

from .models import Notification
from .outcomes import Outcome, Result, outcome_of
from .unsubscribing import headers_of

logger = logging.getLogger(__name__)

BACKENDS = {"django.core.mail.backends.smtp.EmailBackend": "notifications.smtp.EmailBackend"}
"""The backends that are replaced, by one that can be cut off."""

METADATA = "notification"
"""The key under which a provider returns the id of the notification in what it reports."""


class Mailer:
    """
    One thread uses it at a time; another may cut it off.
    """

    def __init__(self) -> None:
        self.is_down = False
        """Whether no connection could be opened."""
        self._backend: Any = None
        self._is_open = self._is_sending = False

    def send(self, notification: Notification) -> Outcome:
        """
        Send one mail, over the connection that is open or a new one.

        :raises Exception: if the backend has a defect.
        """
        self._is_sending = False
        try:
            provider_id = self._send(Mail(notification))
        except Exception as error:
            recipient, was_given = notification.recipient, self.may_have_sent
            outcome = outcome_of(error, recipient=recipient, is_open=self._is_open, was_given=was_given)
            self.is_down = not self._is_open
            if not isinstance(error, SMTPRecipientsRefused):
                self.close()
            if not outcome:
                raise
            return outcome
        logger.info("The provider accepted the mail %s of order %s.", notification.kind, notification.order_id)
        return Outcome(Result.ACCEPTED, provider_id=provider_id)

    @property
    def may_have_sent(self) -> bool:
        """
        Return whether the provider may have accepted the mail that is being sent, or failed.
        """
        return self._is_sending and bool(getattr(self._backend, "was_given_mail", True))

    def cut_off(self) -> None:
        """
        End the connection while another thread is sending, if the backend can do that.
        """
        if cut_off := getattr(self._backend, "cut_off", None):
            cut_off()

    def close(self) -> None:
        """
        Close the connection, if there is one.
        """
        self._is_open = False
        if self._backend:
            with suppress(Exception):
                self._backend.close()

    def _send(self, message: "Mail") -> str:
        if not getattr(self._backend, "is_connected", self._is_open):
            self._is_open = False
            self._backend = get_connection(BACKENDS.get(settings.EMAIL_BACKEND, settings.EMAIL_BACKEND))
            self._backend.open()
            self._is_open = True
        self._is_sending = True
        self._backend.send_messages([message])
        status = getattr(message, "anymail_status", None)
        return str(getattr(status, "message_id", "") or "")


class Mail(EmailMultiAlternatives):
    """
    A mail whose bytes are the same at every attempt.
    """

    def __init__(self, notification: Notification) -> None:
        domain = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].partition("@")[2]
        reply_to = settings.NOTIFICATIONS.reply_to
        super().__init__(
            subject=notification.subject,
            body=with_token(notification, notification.body),
            to=[notification.recipient],
            reply_to=[reply_to] if reply_to else None,
            headers={
                "Date": format_datetime(notification.created_at),
                "Message-ID": f"<{notification.pk}@{domain}>",
                "Auto-Submitted": "auto-generated",
                **headers_of(notification),
            },
        )
        if notification.html:
            self.attach_alternative(with_token(notification, notification.html), "text/html")
        self.metadata = {METADATA: str(notification.pk)}

    def message(self, **options: Any) -> Any:
        message = super().message(**options)
        if message.is_multipart():
            message.set_boundary(self.metadata[METADATA])
        return message


def with_token(notification: Notification, text: str) -> str:
    """
    Return the text of a mail as it is sent: its one-time link, if it has one, with the token, which is not stored.
    """
    if not notification.link_id:
        return text
    return text.replace(str(notification.link_id), one_time_links.token_of(notification.link_id))
