"""
Over which channels a notification goes out, and why it does not.
"""

from collections.abc import Collection, Iterator
from datetime import datetime

from shop.http.fields import E164

from . import suppressions
from .models import Notification
from .preferences import is_default, offered_channels, switched_off_among

Channel, Reason = Notification.Channel, Notification.Reason


def channels_of(kind: str, *, phone: str, sms_requested: bool) -> list[str]:
    """
    Return the channels by which a kind of notification is told, unless the recipient has switched one off.

    :param phone: the recipient's number, empty if there is none.
    :param sms_requested: whether the recipient chose to be told of this kind by SMS.
    """
    by_sms = phone and (sms_requested or is_default(kind, Channel.SMS))
    return [channel for channel in offered_channels() if channel == Channel.EMAIL or by_sms]


def withheld(drafts: Collection[Notification], *, now: datetime) -> Iterator[tuple[Notification, Notification.Reason]]:
    """
    Yield those of these notifications that are not to be sent, each with the reason of the first rule that applies.
    """
    for reason, rule in RULES.items():
        found = set(rule(drafts))
        yield from ((draft, reason) for draft in found)
        drafts = [draft for draft in drafts if draft not in found]


def _without_address(drafts: Collection[Notification]) -> list[Notification]:
    """
    Return those without an address of their channel. Mail servers decide whether an e-mail address is one.
    """
    return [draft for draft in drafts if not _is_address(draft.recipient, draft.channel)]


def _is_address(recipient: str, channel: str) -> bool:
    return bool(E164.fullmatch(recipient) if channel == Channel.SMS else recipient)


RULES = {
    Reason.SWITCHED_OFF: switched_off_among,
    Reason.NO_ADDRESS: _without_address,
    Reason.LISTED: suppressions.listed_among,
}
