"""
Compares the mails that a run owes, and those that the shop recorded, with the log of the mail server. An oracle: it
uses nothing of `notifications` but its rows.

The sender of a mail cannot know its outcome if the reply to its data was lost, or if its worker was killed or frozen
with the mail in hand. It has to send such a mail again, and no other.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from itertools import pairwise
from math import inf
from typing import NamedTuple

from notifications.models import Notification
from tests.smtp_log import AcceptedMail, MailLog

ID = re.compile(r"[0-9a-f]{32}")
SENT = {"accepted", "delivered", "bounced"}


class Repetition(NamedTuple):
    earlier: AcceptedMail
    later: AcceptedMail


def owed_violations(log: MailLog, owed: Mapping[str, int]) -> dict[str, int]:
    """
    Return the number of violations by kind, of a run that owes its recipients mails.

    :param owed: the number of different mails, by recipient.
    """
    accepted = {(recipient, mail.message_id) for mail in log.accepted() for recipient in mail.recipients}
    got = Counter(recipient for recipient, _ in accepted)
    return {"mails missing": (Counter(owed) - got).total(), "mails not owed": (got - Counter(owed)).total()}


def recorded_violations(log: MailLog) -> dict[str, int]:
    """
    Return the number of violations by kind, of rules about the shop's records of mails.

    A reminder that the server accepted without a reply is not sent again when its moment has passed.
    """
    rows = Notification.objects.filter(channel="email")
    sent = {pk.hex for pk in rows.filter(status__in=SENT).values_list("pk", flat=True)}
    late = {pk.hex for pk in rows.filter(kind="payment_due_soon").values_list("pk", flat=True)}
    accepted = {_notification(mail) for mail in log.accepted()}
    return {
        "mails recorded as accepted that the server did not accept": len(sent - accepted),
        "mails that the server accepted without a record of it": len(accepted - sent - late),
    }


def repetition_violations(log: MailLog, *, thaws: Collection[float] = ()) -> dict[str, int]:
    """
    Return the number of violations by kind, of rules about mails that were accepted more than once.

    :param thaws: the moments at which frozen workers went on, in seconds of `time.time`.
    """
    repeated, accepted = repetitions(log), log.accepted()
    in_hand = {mail for moment in [*thaws, inf] for mail in _in_hand(log, moment)}
    unreplied = {mail for mail in accepted if not mail.is_replied}
    unexplained = [pair for pair in repeated if pair.earlier.is_replied and not in_hand & set(pair)]
    not_repeated = unreplied - {pair.earlier for pair in repeated} - _last_reminders(accepted)
    return {
        "mails repeated although their outcome was known": len(unexplained),
        "mails not repeated although their outcome was unknown": len(not_repeated),
        "mails changed when they were repeated": _changed(accepted),
    }


def repetitions(log: MailLog) -> list[Repetition]:
    """Return each acceptance of a mail that had been accepted before."""
    return [Repetition(*pair) for mails in _by_message_id(log.accepted()).values() for pair in pairwise(mails)]


def repeated_after_a_reply(log: MailLog) -> int:
    """Return how many acceptances were followed by another one although their reply was sent."""
    return sum(repetition.earlier.is_replied for repetition in repetitions(log))


def _notification(mail: AcceptedMail) -> str:
    """Return the id of the notification that the Message-ID contains."""
    found = ID.search(mail.message_id.replace("-", ""))
    return found[0] if found else mail.message_id


def _by_message_id(accepted: Collection[AcceptedMail]) -> dict[str, list[AcceptedMail]]:
    mails = defaultdict(list)
    for mail in accepted:
        mails[mail.message_id].append(mail)
    return mails


def _last_reminders(accepted: Collection[AcceptedMail]) -> set[AcceptedMail]:
    """Return the last acceptance of each reminder whose outcome the shop never learned."""
    rows = Notification.objects.filter(kind="payment_due_soon").exclude(status__in=SENT)
    reminders = {pk.hex for pk in rows.values_list("pk", flat=True)}
    last = [mails[-1] for mails in _by_message_id(accepted).values()]
    return {mail for mail in last if _notification(mail) in reminders}


def _changed(accepted: Collection[AcceptedMail]) -> int:
    return sum(len({mail.digest for mail in mails}) > 1 for mails in _by_message_id(accepted).values())


def _in_hand(log: MailLog, moment: float) -> set[AcceptedMail]:
    """
    Return the last mail before this moment and the first one after it of each connection that was open then and that no
    fault of the server has ended: a worker that was stopped until then had one of them in hand.
    """
    connections = log.connections_at(moment) - log.connections_ended_by_faults()
    mails = [mail for mail in log.accepted() if mail.connection in connections]
    last = {mail.connection: mail for mail in mails if mail.at <= moment}
    first = {mail.connection: mail for mail in reversed(mails) if mail.at > moment}
    return {*last.values(), *first.values()}
