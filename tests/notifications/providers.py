"""
Mail providers that are not at their best.
"""

from collections.abc import Sequence
from smtplib import SMTPRecipientsRefused
from typing import Any

from anymail.backends.test import EmailBackend
from django.core.mail import EmailMessage


class Down(EmailBackend):
    def send_messages(self, email_messages: Sequence[EmailMessage]) -> Any:
        raise ConnectionRefusedError("nobody listens")


class RefusesBob(EmailBackend):
    def send_messages(self, email_messages: Sequence[EmailMessage]) -> Any:
        if any("bob@example.com" in message.to for message in email_messages):
            raise SMTPRecipientsRefused({"bob@example.com": (550, b"no such mailbox")})
        return super().send_messages(email_messages)


class DownForBob(EmailBackend):
    def send_messages(self, email_messages: Sequence[EmailMessage]) -> Any:
        if any("bob@example.com" in message.to for message in email_messages):
            raise TimeoutError("greylisted")
        return super().send_messages(email_messages)


class BreaksOnBob(EmailBackend):
    def send_messages(self, email_messages: Sequence[EmailMessage]) -> Any:
        if any("bob@example.com" in message.to for message in email_messages):
            raise ValueError("a defect in the backend")
        return super().send_messages(email_messages)
