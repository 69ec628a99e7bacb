"""Mails to an SMTP server, counted by the server."""

import time
from collections import Counter
from collections.abc import Callable, Mapping

from tests.smtp_log import MailLog

from .usage import Meter
from .work import MAIL_KINDS, count_work, require_work, wait_for_mails, wait_until_delivered


def mails_of_orders(
    log: MailLog, roots: Mapping[str, int], place: Callable[[int], object], *, orders: int
) -> dict[str, float]:
    """
    Return the mails per second from the first of these orders until the server accepted the last of their mails.

    :param roots: the first process of each part whose CPU time counts.
    :param place: places so many orders.
    :raises AssertionError: if the server did not accept each mail once.
    """
    before, earlier, connections, began = count_work(), len(log.accepted()), log.connections(), time.time()
    with Meter(roots) as meter:
        place(orders)
        wait_for_mails(before, orders=orders)  # while a webhook is awaited, nothing is due
        wait_until_delivered()
    require_work(before, count_work(), orders=orders)
    accepted = log.accepted()[earlier:]
    times = Counter(mail.message_id for mail in accepted)
    assert (len(times), times.total()) == (orders * len(MAIL_KINDS),) * 2, "Not every mail was accepted once."
    seconds = accepted[-1].at - began
    return {
        "mails/s": len(accepted) / seconds,
        "mails/s in the busiest ten seconds": _busiest([mail.at for mail in accepted], seconds=10),
        "orders/s": orders / seconds,
        "connections": log.connections() - connections,
        **{f"CPU ms per mail: {part}": used.total * 1000 / len(accepted) for part, used in meter.used().items()},
    }


def _busiest(moments: list[float], *, seconds: float) -> float:
    return max(sum(start <= at < start + seconds for at in moments) for start in moments[::100]) / seconds
