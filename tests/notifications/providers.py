"""
Mail providers that fail, always or for one address.
"""

from collections.abc import Sequence
from smtplib import SMTPRecipientsRefused
from typing import Any, ClassVar

from anymail.backends.test import EmailBackend
from django.core.mail import EmailMessage

PROVIDERS = "tests.notifications.providers"


class Down(EmailBackend):
    def send_messages(self, email_messages: Sequence[EmailMessage]) -> Any:
        raise ConnectionRefusedError("connection refused")


class FailsForBob(EmailBackend):
    error: ClassVar[Exception]

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> Any:
        if any("bob@example.com" in message.to for message in email_messages):
            raise self.error
        return super().send_messages(email_messages)


class RefusesBob(FailsForBob):
    error = SMTPRecipientsRefused({"bob@example.com": (550, b"no such mailbox")})


class DownForBob(FailsForBob):
    error = TimeoutError("greylisted")


class BreaksOnBob(FailsForBob):
    error = ValueError("a defect in the backend")
