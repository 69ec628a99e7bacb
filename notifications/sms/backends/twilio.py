"""
The backend of Twilio, over its REST API. It needs no library of Twilio's: decision 24 says why.

Twilio has no idempotency keys for messages. An unknown message is looked up among those to its recipient before it is
sent again.
"""

import ssl
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from threading import Event, Thread
from urllib.parse import urlencode, urlsplit

import msgspec
from django.conf import settings
from django.urls import reverse

from notifications.sms import SmsMessage
from notifications.sockets import shut_down

from . import twilio_receipts
from .base import BaseSmsBackend, Receipt, SmsRejected, SmsUnavailable, SmsUnknown
from .twilio_receipts import SUPPRESSIONS

CONNECT_SECONDS = 2
CUT_OFF_SECONDS = 0.1
"""How often a call whose time is over is cut off, since it may be connecting and have no socket yet."""
LISTED_MESSAGES = 50
MAX_VALID_SECONDS = 36_000
MAX_SENDER_LENGTH = 16
"""A longer sender is the id of a messaging service, which chooses one."""
MAX_ANSWER_BYTES = 1_000_000
CLOCK_TOLERANCE = timedelta(minutes=1)
UNREADABLE = (msgspec.DecodeError, RecursionError)
"""Errors of a body that is not JSON of the expected form, or nested too deeply."""

OUR_ERRORS = {21212, 21603, 21606, 21609, 21659, 21660, 21703, 21705}
"""Errors of the shop's sender or callback URL, for which no recipient is to blame."""


class _Sent(msgspec.Struct):
    sid: str
    body: str | None
    date_created: str


class _Answer(msgspec.Struct):
    sid: str = ""
    code: int | None = None
    messages: list[_Sent] = []


class SmsBackend(BaseSmsBackend):
    has_receipts = True

    def __init__(self) -> None:
        base = urlsplit(settings.NOTIFICATIONS.twilio_api_base)
        self._connection = (
            HTTPSConnection(base.netloc, timeout=CONNECT_SECONDS, context=ssl.create_default_context())
            if base.scheme == "https"
            else HTTPConnection(base.netloc, timeout=CONNECT_SECONDS)
        )

    def close(self) -> None:
        self._connection.close()

    def send(self, message: SmsMessage) -> str:
        status, answer = self._call("POST", _form_of(message))
        if status in {200, 201}:
            return answer.sid
        raise _failure(status, answer.code or 0)

    def look_up(self, message: SmsMessage, *, since: datetime) -> str:
        try:
            status, answer = self._call("GET", {"To": message.to, "PageSize": LISTED_MESSAGES})
        except SmsUnknown as error:
            raise SmsUnavailable(str(error)) from error
        if status != 200:
            raise SmsUnavailable(f"Twilio does not list messages: HTTP {status}, error {answer.code}.")
        try:
            return next((sent.sid for sent in answer.messages if _is_same(sent, message, since)), "")
        except (TypeError, ValueError) as error:  # a date that is none, or without its zone
            raise SmsUnavailable("Twilio's list of messages cannot be read.") from error

    def read_receipt(self, url: str, form: Mapping[str, Sequence[str]], headers: Mapping[str, str]) -> Receipt | None:
        token = settings.NOTIFICATIONS.twilio_auth_token
        return twilio_receipts.read(url, form, headers.get("x-twilio-signature", ""), token=token)

    def _call(self, method: str, form: Mapping[str, object]) -> tuple[int, _Answer]:
        """
        Make a request, and return the status and the content of its answer.

        :raises SmsUnavailable: if the request was not sent.
        :raises SmsUnknown: if its answer did not arrive in time, or cannot be read.
        """
        with self._deadline():
            if self._connection.sock is None:
                self._connect()
            try:
                return self._exchange(method, form)
            except (OSError, HTTPException, *UNREADABLE) as error:
                self._connection.close()
                raise SmsUnknown(f"Twilio's answer was lost: {type(error).__name__}.") from error

    def _connect(self) -> None:
        try:
            self._connection.connect()
            self._connection.sock.settimeout(settings.NOTIFICATIONS.sms_timeout_seconds)
        except OSError as error:
            self._connection.close()
            raise SmsUnavailable(f"Twilio cannot be reached: {type(error).__name__}.") from error

    def _exchange(self, method: str, form: Mapping[str, object]) -> tuple[int, _Answer]:
        sms = settings.NOTIFICATIONS
        path, fields = f"/2010-04-01/Accounts/{sms.twilio_account_sid}/Messages.json", urlencode(form)
        credentials = b64encode(f"{sms.twilio_account_sid}:{sms.twilio_auth_token}".encode()).decode()
        headers = {"Authorization": f"Basic {credentials}", "Content-Type": "application/x-www-form-urlencoded"}
        if method == "GET":
            self._connection.request(method, f"{path}?{fields}", headers=headers)
        else:
            self._connection.request(method, path, fields, headers)
        response = self._connection.getresponse()
        body = response.read(MAX_ANSWER_BYTES)
        if not response.isclosed():
            self._connection.close()  # the rest of the body would precede the next answer
        return response.status, _read(response.status, body)

    @contextmanager
    def _deadline(self) -> Iterator[None]:
        """
        Limit the time of the block: a socket's timeout would not, as each byte of a slow answer renews it.
        """
        is_over = Event()
        Thread(target=self._cut_off, args=(is_over,), daemon=True).start()
        try:
            yield
        finally:
            is_over.set()

    def _cut_off(self, is_over: Event) -> None:
        is_over.wait(settings.NOTIFICATIONS.sms_timeout_seconds)
        while not is_over.wait(CUT_OFF_SECONDS):
            if sock := self._connection.sock:
                shut_down(sock)


def _form_of(message: SmsMessage) -> dict[str, object]:
    sender = settings.NOTIFICATIONS.sms_from
    form = {
        "To": message.to,
        "MessagingServiceSid" if len(sender) > MAX_SENDER_LENGTH else "From": sender,
        "Body": message.body,
        "ValidityPeriod": max(1, min(message.valid_seconds, MAX_VALID_SECONDS)),
    }
    if settings.SHOP.is_public:  # Twilio rejects a message with a callback that it cannot reach
        path = reverse("notifications:sms-webhook", query={"notification": message.reference})
        form["StatusCallback"] = f"{settings.SHOP.url}{path}"
    return form


def _read(status: int, body: bytes) -> _Answer:
    """
    Return the content of an answer; nothing for an error that is not Twilio's, such as a proxy's.
    """
    try:
        return msgspec.json.decode(body, type=_Answer)
    except UNREADABLE:
        if status < 400:
            raise
        return _Answer()


def _failure(status: int, code: int) -> Exception:
    """
    Return what it means that Twilio answered this status and error code to a message.
    """
    detail = f"Twilio answered HTTP {status}, error {code}."
    if status in {401, 403, 404, 429, 503} or code in OUR_ERRORS:
        return SmsUnavailable(detail)
    if status >= 500 or status < 400:
        return SmsUnknown(detail)
    return SmsRejected(detail, suppression=SUPPRESSIONS.get(code, ""))


def _is_same(sent: _Sent, message: SmsMessage, since: datetime) -> bool:
    # A trial account puts a sentence of Twilio's before the text.
    is_same_text = (sent.body or "").endswith(message.body)
    return is_same_text and parsedate_to_datetime(sent.date_created) >= since - CLOCK_TOLERANCE
