"""
What becomes of a mail by each reply of its server, as docs/reference/notifications.md says. The server's log is the
truth about what it accepted.
"""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from notifications.models import Notification
from tests.notifications.mails import queue_to, send
from tests.processes import PROJECT
from tests.smtp_faults import ALWAYS, DRIP, DROP, STALL, Stage

pytestmark = pytest.mark.django_db

ACTIONS = {
    "another 2yz": "252 Fine",
    "4yz": "451 4.3.0 Try again later",
    "421": "421 4.3.2 Shutting down",
    "5yz": "554 5.7.1 No",
    "closes": DROP,
    "stalls": STALL,
    "drips": DRIP,
}
STAGES = {
    "connection": [Stage.BANNER],
    "EHLO": [Stage.EHLO],
    "MAIL": [Stage.MAIL],
    "RCPT": [Stage.RCPT],
    "DATA": [Stage.DATA],
    "end of data": [Stage.END_OF_DATA, Stage.ACCEPTED],
    "RSET after a rejection": [Stage.RSET],
}
RESULTS = {
    "accepted": ("accepted", ""),
    "outage": ("sending", "PartlyUnavailable 1"),
    "deferred": ("sending", "NotReady 1"),
    "failed": ("failed", ""),
    "unknown": ("unknown", "PartlyUnavailable 1"),
    "rejected": ("bounced", ""),
}
"""The status of the notification, and what the relay gets: an outage pauses all mails, NotReady retries this one."""
ENDS_OF_DATA = {
    Stage.END_OF_DATA: set(ACTIONS.values()) - {ACTIONS["another 2yz"], DRIP},
    Stage.ACCEPTED: {ACTIONS["another 2yz"], DROP, STALL, DRIP},
}
"""What a server does instead of accepting a mail, and after that."""


def rows() -> Iterator[tuple[Stage, str, str]]:
    """
    Yield the moment, what the server does then, and the result.
    """
    page = (PROJECT / "docs/reference/notifications.md").read_text(encoding="utf-8")
    lines = page.partition("\n| at |")[2].partition("\n\n")[0].splitlines()
    names = [name.strip() for name in lines[0].strip("|").split("|")]
    for line in lines[2:]:
        moment, *results = [cell.strip() for cell in line.strip("|").split("|")]
        for name, result in zip(names, results, strict=True):
            for stage in STAGES[moment]:
                if ACTIONS[name] in ENDS_OF_DATA.get(stage, ACTIONS.values()):
                    yield stage, ACTIONS[name], result


@pytest.mark.parametrize(("stage", "action", "result"), list(rows()))
def test_has_the_result_of_the_table(mail_server, settings, stage, action, result):
    usual, is_slow = settings.NOTIFICATIONS, action in {STALL, DRIP}
    settings.NOTIFICATIONS = replace(usual, email_deadline_seconds=0.3) if is_slow else usual
    if stage == Stage.RSET:
        mail_server.fail(Stage.RCPT, "550 5.1.1 No such mailbox")
    mail_server.fail(stage, action, times=ALWAYS, pause=0.2)
    ids = queue_to("ada@example.com")

    error = send(ids)

    assert (Notification.objects.get().status, error) == RESULTS[result]
    assert Notification.objects.get().attempts == 1
    accepted = mail_server.log.accepted_ids().total()
    assert accepted == (stage == Stage.ACCEPTED or result == "accepted")
    settings.NOTIFICATIONS = usual
    mail_server.faults.clear()
    assert send(ids) == ""
    again = int(bool(error))
    assert mail_server.log.accepted_ids().total() == accepted + again
    assert Notification.objects.get().attempts == 1 + again
