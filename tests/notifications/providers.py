"""
Providers of mail and SMS that fail, always, for one recipient or after some time.
"""

import threading
from collections.abc import Sequence
from smtplib import SMTPRecipientsRefused
from typing import Any, ClassVar

from anymail.backends.test import EmailBackend
from django.core.mail import EmailMessage

from notifications.sms import SmsMessage
from notifications.sms.backends import file, memory
from notifications.sms.backends.base import SmsRejected

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


class HangsForBob(EmailBackend):
    """Its calls cannot be cut off, as those of HTTP backends."""

    answers: ClassVar = threading.Event()

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> Any:
        if any("bob@example.com" in message.to for message in email_messages):
            self.answers.wait()
        return super().send_messages(email_messages)


class RefusesBobsNumber(memory.SmsBackend):
    def send(self, message: SmsMessage) -> str:
        if message.to == "+441134960002":
            raise SmsRejected("To +441134960002: the number 441134960002 is not a mobile one.")
        return super().send(message)


class Killed(BaseException):
    """
    The end of the worker: like SIGKILL, it is caught by no `except Exception`.
    """


class KillsTheWorker(file.SmsBackend):
    """
    Accept messages, and kill the worker after the fifth.
    """

    accepted: ClassVar[list[SmsMessage]] = []

    def send(self, message: SmsMessage) -> str:
        super().send(message)
        self.accepted.append(message)
        if len(self.accepted) >= 5:
            raise Killed
        return ""
