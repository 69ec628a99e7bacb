"""
What every SMS backend does, and the results of sending that are not acceptance.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Self

from notifications.sms import SmsMessage


class SmsRejected(Exception):
    """
    The provider will never send this message.

    :param suppression: the reason if it will send no other message to this number either, of `Suppression.Reason`.
    """

    def __init__(self, detail: str, *, suppression: str = "") -> None:
        super().__init__(detail)
        self.suppression = suppression


class SmsUnavailable(Exception):
    """
    The provider did not take the message, and takes no others for now.
    """


class SmsUnknown(Exception):
    """
    The provider was given the message, and its answer was lost: it may have been sent. Look it up before sending again.
    """


class InvalidSignature(Exception):
    """
    A delivery receipt was not signed by the provider.
    """


class Outcome(StrEnum):
    ACCEPTED = "accepted"
    DELIVERED = "delivered"
    BOUNCED = "bounced"


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """
    What the provider reports about a message that it accepted.
    """

    provider_id: str
    reference: str
    outcome: Outcome
    error: str = ""
    suppression: str = ""
    """The reason if no other message will reach this number either, of `Suppression.Reason`."""


class BaseSmsBackend:
    """
    A connection to a provider of SMS, used by one thread. Subclasses implement `send`.
    """

    has_receipts = False
    """Whether the provider reports deliveries: `read_receipt` reads what it sends."""

    def open(self) -> None:
        """
        Connect, if the backend needs a connection.
        """

    def close(self) -> None:
        """
        Close the connection.
        """

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(self, message: SmsMessage) -> str:
        """
        Send one message, and return the provider's id of it; empty if the provider has none.

        :raises SmsRejected: if the provider will never send it.
        :raises SmsUnavailable: if the provider takes no messages for now.
        :raises SmsUnknown: if it may have been sent.
        """
        raise NotImplementedError

    def look_up(self, message: SmsMessage, *, since: datetime) -> str:
        """
        Return the provider's id of a message whose answer was lost, if it was sent since this moment; otherwise an
        empty text. A provider without a list of messages finds none, so that they are sent again.

        :raises SmsUnavailable: if the provider does not answer.
        """
        return ""

    def read_receipt(self, url: str, form: Mapping[str, Sequence[str]], headers: Mapping[str, str]) -> Receipt | None:
        """
        Verify a delivery receipt, and return what it reports; none if that is no outcome.

        :param url: the public URL that the provider called, with its query.
        :param form: the values of each field of the body.
        :param headers: by names in lower case.
        :raises InvalidSignature: if the provider has not signed it.
        """
        raise NotImplementedError
