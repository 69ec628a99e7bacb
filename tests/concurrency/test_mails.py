"""The oracle of mails finds each violation that it is there to find."""

from collections.abc import Callable
from uuid import UUID

import pytest
from django.utils import timezone

from notifications.models import Notification
from tests.concurrency.mails import owed_violations, recorded_violations, repeated_after_a_reply, repetition_violations
from tests.smtp_log import MailLog

pytestmark = pytest.mark.django_db

ADA, BOB = "ada@example.com", "bob@example.com"
TO_ADA, TO_BOB, OTHER = UUID(int=1), UUID(int=2), UUID(int=3)
THAW = 10


@pytest.fixture
def log(tmp_path) -> MailLog:
    """Two notifications that were accepted, each over a connection; the second one broke."""
    for pk, recipient in [(TO_ADA, ADA), (TO_BOB, BOB)]:
        make_notification(pk, recipient)
    log = MailLog(tmp_path / "mails.log")
    for connection in (1, 2):
        log.write("opened", connection=connection, at=0)
    accept(log, TO_ADA, ADA, connection=1)
    accept(log, TO_BOB, BOB, connection=2)
    log.write("quit", connection=1, at=THAW + 2)
    return log


def make_notification(pk: UUID, recipient: str, *, status: str = "accepted", kind: str = "order_confirmed") -> None:
    Notification.objects.create(
        pk=pk,
        message_id=pk,
        order_id=pk,
        kind=kind,
        recipient=recipient,
        status=status,
        subject="",
        body="",
        created_at=timezone.now(),
    )


def accept(log: MailLog, pk: UUID, to: str, *, connection: int, **changes: object) -> None:
    row = {"message_id": f"<{pk}@shop.example>", "recipients": [to], "at": 0, "digest": str(pk), "is_replied": True}
    log.write("accepted", **row | changes, connection=connection)


def violations(log: MailLog) -> set[str]:
    found = owed_violations(log, {ADA: 1, BOB: 1}) | recorded_violations(log) | repetition_violations(log)
    return {name for name, count in found.items() if count}


def repeat_over_a_whole_connection(log: MailLog) -> None:
    accept(log, TO_ADA, ADA, connection=3)


def lose_the_last_reply(log: MailLog) -> None:
    accept(log, TO_ADA, ADA, connection=3, is_replied=False)
    accept(log, TO_BOB, BOB, connection=3)


def change_on_repetition(log: MailLog) -> None:
    accept(log, TO_BOB, BOB, connection=3, digest="other")


def repeat_the_mail_before_a_fault(log: MailLog) -> None:
    log.write("fault", connection=2, stage="MAIL", action="421 4.3.2 Shutting down")
    accept(log, TO_BOB, BOB, connection=3)


def send_a_second_mail(log: MailLog) -> None:
    accept(log, OTHER, ADA, connection=3)


def send_to_another(log: MailLog) -> None:
    accept(log, OTHER, "eve@example.com", connection=3)


def forget_all_mails(log: MailLog) -> None:
    log.path.write_text("")


REPEATED = "mails repeated although their outcome was known"
NOT_REPEATED = "mails not repeated although their outcome was unknown"
CHANGED = "mails changed when they were repeated"
UNRECORDED = "mails that the server accepted without a record of it"


class TestViolations:
    def test_are_none_if_each_mail_was_accepted_once(self, log):
        assert violations(log) == set()
        assert repeated_after_a_reply(log) == 0

    def test_are_none_if_the_last_mail_of_a_broken_connection_was_repeated(self, log):
        accept(log, TO_BOB, BOB, connection=3)

        assert violations(log) == set()
        assert repeated_after_a_reply(log) == 1

    @pytest.mark.parametrize(("connection", "at"), [(3, THAW - 1), (1, THAW + 1)])
    def test_are_none_if_a_frozen_worker_had_the_mail_in_hand(self, log, connection, at):
        accept(log, TO_ADA, ADA, connection=connection, at=at)

        assert set(repetition_violations(log, thaws=[THAW]).values()) == {0}
        assert repetition_violations(log, thaws=[THAW + 3])[REPEATED] == 1

    def test_are_none_if_a_mail_without_a_reply_was_repeated(self, log):
        make_notification(OTHER, "eve@example.com")
        for is_replied in (False, False, True):
            accept(log, OTHER, "eve@example.com", connection=1, is_replied=is_replied)

        assert repetition_violations(log) == {REPEATED: 0, NOT_REPEATED: 0, CHANGED: 0}
        assert repeated_after_a_reply(log) == 0

    def test_are_none_if_a_reminder_without_a_reply_became_useless(self, log):
        make_notification(OTHER, ADA, status="unknown", kind="payment_due_soon")
        accept(log, OTHER, ADA, connection=3, is_replied=False)

        assert set(recorded_violations(log).values()) == set(repetition_violations(log).values()) == {0}

    @pytest.mark.parametrize(
        ("corrupt", "expected"),
        [
            (repeat_over_a_whole_connection, {REPEATED}),
            (repeat_the_mail_before_a_fault, {REPEATED}),
            (lose_the_last_reply, {REPEATED, NOT_REPEATED}),
            (change_on_repetition, {CHANGED}),
            (send_a_second_mail, {"mails not owed", UNRECORDED}),
            (send_to_another, {"mails not owed", UNRECORDED}),
            (forget_all_mails, {"mails missing", "mails recorded as accepted that the server did not accept"}),
        ],
    )
    def test_name_what_is_wrong(self, log, corrupt: Callable[[MailLog], None], expected):
        corrupt(log)

        assert violations(log) == expected
