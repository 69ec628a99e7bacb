"""
What became of an attempt to send a notification, and what the replies and errors of mail servers mean (RFC 5321).
"""

import re
from dataclasses import dataclass
from enum import Enum
from smtplib import (
    SMTPAuthenticationError,
    SMTPDataError,
    SMTPException,
    SMTPRecipientsRefused,
    SMTPResponseException,
    SMTPSenderRefused,
    SMTPServerDisconnected,
)

from anymail.exceptions import AnymailAPIError, AnymailError, AnymailInvalidAddress, AnymailRecipientsRefused

from messaging.kernel.redaction import redact

ENHANCED_CODE = re.compile(r"\b[245]\.(\d{1,3}\.\d{1,3})\b", re.ASCII)
MAX_ERROR_CHARACTERS = 500
MAX_READ_CHARACTERS = 4 * MAX_ERROR_CHARACTERS
"""Of an error: what follows is neither redacted nor stored."""

NO_MAILBOX = {550, 551, 553}
NO_MAILBOX_ENHANCED = {"1.1", "1.2", "1.3", "1.6", "1.10"}
REJECTS_SENDER = re.compile(
    r"relay|block|black|spam|polic|reputation|denied|dnsbl|\brbl\b|\bspf\b|dkim|dmarc|authenti|banned", re.IGNORECASE
)
"""Words of a server that rejects mail of the shop to anyone, in replies without an enhanced code."""
MAIL_TOO_LARGE = 552
NOT_EXECUTED = {401, 403, 429, 503}
"""HTTP statuses that say that a provider takes no mail from us for now."""
UNCONNECTED = {"ConnectTimeout", "ConnectTimeoutError", "NameResolutionError", "NewConnectionError"}
"""Errors of requests and urllib3 that say that a request was not sent."""


class Result(Enum):
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    """For good; another attempt would be rejected, too."""
    NO_MAILBOX = "no mailbox"
    """Rejected for good, since the recipient does not exist."""
    DEFERRED = "deferred"
    """Rejected for now, this one only: greylisting, for example."""
    UNAVAILABLE = "unavailable"
    """The server takes no mail for now, or rejects the shop itself."""
    UNKNOWN = "unknown"
    """It was given to the server, whose reply was lost."""


@dataclass(frozen=True)
class Outcome:
    result: Result
    error: str = ""
    """Without addresses."""
    provider_id: str = ""
    suppression: str = ""
    """Why no other message would reach the recipient, of `Suppression.Reason`."""


def outcome_of(error: Exception, *, recipient: str, is_open: bool, was_given: bool) -> Outcome | None:
    """
    Return what an error of a mail backend says about a mail; none if it is a defect.

    :param is_open: whether the connection was open, or else the error is that of opening it.
    :param was_given: whether the server may have accepted the mail.
    """
    result: Result | None
    if isinstance(error, SMTPException):
        result = _of_smtp(error, was_given=was_given)
    elif isinstance(error, AnymailError):
        result = _of_provider(error)
    else:
        result = _of_connection(error, is_open=is_open, was_given=was_given)
    if not result:
        return None
    suppression = "bounced" if result is Result.NO_MAILBOX else ""
    return Outcome(result, redacted(f"{_advice_on(error)}{_text_of(error)}", recipient), suppression=suppression)


def redacted(text: str, recipient: str) -> str:
    """
    Return a text without the recipient and other addresses, in one line of printable characters.
    """
    if len(text) > MAX_READ_CHARACTERS:
        text = text[:MAX_READ_CHARACTERS].rpartition(" ")[0]  # an address that is cut would not be recognised
    text = redact(" ".join("".join(each if each.isprintable() else " " for each in text).split()))
    local_part = recipient.partition("@")[0]
    if local_part:
        text = re.sub(rf"(?<![\w.+-]){re.escape(local_part)}(?![\w.+-])", "(address)", text, flags=re.IGNORECASE)
    return text[:MAX_ERROR_CHARACTERS]


def _of_smtp(error: SMTPException, *, was_given: bool) -> Result:
    match error:
        case SMTPRecipientsRefused():
            return _at_recipient(*next(iter(error.recipients.values())))
        case SMTPDataError(smtp_code=code):
            return _at_data(code)
        case SMTPSenderRefused(smtp_code=code) if code == MAIL_TOO_LARGE:
            return Result.REJECTED
        case SMTPServerDisconnected():
            return Result.UNKNOWN if was_given else Result.UNAVAILABLE
        case _:
            return Result.UNAVAILABLE


def _of_provider(error: AnymailError) -> Result:
    if isinstance(error, AnymailInvalidAddress | AnymailRecipientsRefused):
        return Result.REJECTED
    return _of_api(error.status_code, error) if isinstance(error, AnymailAPIError) else Result.UNAVAILABLE


def _of_connection(error: Exception, *, is_open: bool, was_given: bool) -> Result | None:
    if isinstance(error, OSError):
        return Result.UNKNOWN if was_given and not isinstance(error, ConnectionRefusedError) else Result.UNAVAILABLE
    if not isinstance(error, ValueError) or was_given:
        return None
    # A host name with an empty label is a ValueError, too, and so is a login whose challenge cannot be decoded.
    return Result.REJECTED if is_open else Result.UNAVAILABLE


def _advice_on(error: Exception) -> str:
    match error:
        case SMTPSenderRefused():
            return "The mail server rejects the sender DEFAULT_FROM_EMAIL: "
        case SMTPAuthenticationError():
            return "The mail server rejects EMAIL_HOST_USER with EMAIL_HOST_PASSWORD: "
        case _:
            return ""


def _at_recipient(code: int, reply: bytes | str) -> Result:
    if code == 421:
        return Result.UNAVAILABLE
    if code < 500:
        return Result.DEFERRED
    text = _decoded(reply)
    enhanced = ENHANCED_CODE.search(text)
    names_mailbox = code in NO_MAILBOX and not REJECTS_SENDER.search(text)
    is_missing = enhanced[1] in NO_MAILBOX_ENHANCED if enhanced else names_mailbox
    return Result.NO_MAILBOX if is_missing else Result.REJECTED


def _at_data(code: int) -> Result:
    if code == 421:
        return Result.UNAVAILABLE
    return Result.DEFERRED if code < 500 else Result.REJECTED


def _of_api(status: int | None, error: AnymailAPIError) -> Result:
    if status is None:
        return Result.UNAVAILABLE if _is_unconnected(error) else Result.UNKNOWN
    if status in NOT_EXECUTED:
        return Result.UNAVAILABLE
    return Result.REJECTED if 400 <= status < 500 else Result.UNKNOWN


def _is_unconnected(error: BaseException | None) -> bool:
    """
    Return whether a request failed before it was sent.
    """
    while error:
        if type(error).__name__ in UNCONNECTED:
            return True
        error = error.__cause__ or error.__context__
    return False


def _text_of(error: Exception) -> str:
    if isinstance(error, SMTPRecipientsRefused):
        code, reply = next(iter(error.recipients.values()))
        return f"{code} {_decoded(reply)}"
    if isinstance(error, SMTPResponseException):
        return f"{error.smtp_code} {_decoded(error.smtp_error)}"
    return f"{type(error).__name__}: {error}"


def _decoded(reply: bytes | str) -> str:
    return reply.decode("utf-8", "replace") if isinstance(reply, bytes) else reply
