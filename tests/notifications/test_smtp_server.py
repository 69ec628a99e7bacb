"""
The SMTP server of the tests fails as it is told, and logs what it accepted.
"""

import smtplib
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from math import inf

import pytest

from tests.programs import LOCALHOST, MailServer
from tests.smtp_faults import ALWAYS, DRIP, DROP, STALL, Fault, Stage
from tests.smtp_server import SmtpServer

SENDER = "shop@example.com"
GREYLISTED = "451 4.7.1 Greylisted, try again in a minute"
SOCKET_SECONDS = 0.2


@pytest.fixture
def server(tmp_path) -> Iterator[SmtpServer]:
    with SmtpServer(tmp_path / "mails.log") as server:
        yield server


def mail(number: int) -> str:
    return f"Message-ID: <{number}@shop.example>\nSubject: Hello\n\nDear Ada"


def send(port: int, number: int = 1, *, to: str = "ada@example.com", login: bool = False, timeout: float = 10) -> None:
    """Send one mail over a connection of its own."""
    with smtplib.SMTP(LOCALHOST, port, timeout=timeout) as client:
        if login:
            client.login("shop", "secret")
        client.sendmail(SENDER, [to], mail(number))


def reply_to(attempt: Callable[[], None]) -> int:
    """Return the code of the reply that the attempt raises."""
    with pytest.raises(smtplib.SMTPException) as raised:
        attempt()
    if isinstance(raised.value, smtplib.SMTPRecipientsRefused):
        [(code, _)] = raised.value.recipients.values()
        return code
    return raised.value.smtp_code


class TestLog:
    def test_lists_accepted_mails_and_connections(self, server):
        with smtplib.SMTP(LOCALHOST, server.port) as client:
            client.sendmail(SENDER, ["ada@example.com"], mail(1))
            client.sendmail(SENDER, ["ada@example.com", "bob@example.com"], mail(2))
        send(server.port, 1)

        accepted = [(mail.message_id, mail.recipients, mail.connection) for mail in server.log.accepted()]
        assert accepted == [
            ("<1@shop.example>", ("ada@example.com",), 1),
            ("<2@shop.example>", ("ada@example.com", "bob@example.com"), 1),
            ("<1@shop.example>", ("ada@example.com",), 2),
        ]
        assert server.log.accepted_ids() == {"<1@shop.example>": 2, "<2@shop.example>": 1}
        assert server.log.connections() == 2
        assert server.log.connections_at(inf) == set()

    def test_tells_equal_mails_from_changed_ones(self, server):
        for number in (1, 1, 2):
            send(server.port, number)

        assert [len({mail.digest for mail in server.log.accepted()[:end]}) for end in (2, 3)] == [1, 2]


class TestReply:
    @pytest.mark.parametrize(
        ("stage", "times"),
        [
            (Stage.BANNER, 1),
            (Stage.EHLO, 2),  # and HELO, which clients try then
            (Stage.AUTH, 3),  # one for each method
            (Stage.MAIL, 1),
            (Stage.RCPT, 1),
            (Stage.DATA, 1),
            (Stage.END_OF_DATA, 1),
        ],
    )
    @pytest.mark.parametrize("reply", ["421 4.3.2 Shutting down", "452 4.3.1 Full", "535 5.7.8 No", "554 5.7.1 Spam"])
    def test_replaces_that_of_its_stage(self, server, stage, times, reply):
        code = int(reply[:3])
        server.fail(stage, reply, times=1 if code == 421 else times)

        if stage in {Stage.EHLO, Stage.AUTH} and code == 421:
            with pytest.raises(smtplib.SMTPException):
                send(server.port, login=True)
        else:
            assert reply_to(lambda: send(server.port, login=True)) == code

        assert server.log.accepted() == []
        assert server.log.faults().keys() == {(stage, reply)}
        send(server.port, login=True)
        assert server.log.accepted_ids() == {"<1@shop.example>": 1}

    def test_greylists_the_first_mail_of_each_recipient(self, server):
        server.fail(Stage.RCPT, GREYLISTED, times=ALWAYS, greylists=True)

        for recipient in ("ada@example.com", "bob@example.com"):
            assert reply_to(lambda recipient=recipient: send(server.port, to=recipient)) == 451
            send(server.port, to=recipient)

        assert [mail.recipients for mail in server.log.accepted()] == [("ada@example.com",), ("bob@example.com",)]

    def test_is_for_one_recipient(self, server):
        server.fail(Stage.RCPT, "550 5.1.1 No such mailbox", times=ALWAYS, recipient="bob@example.com")

        send(server.port, to="ada@example.com")
        assert reply_to(lambda: send(server.port, to="bob@example.com")) == 550

    def test_is_for_a_share_of_mails(self, server):
        server.fail(Stage.END_OF_DATA, "452 4.3.1 Full", times=ALWAYS, share=0.3)

        for number in range(50):
            with suppress(smtplib.SMTPDataError):
                send(server.port, number)

        refused = server.log.faults().total()
        assert 0 < refused < 30
        assert server.log.accepted_ids().total() == 50 - refused


class TestDrop:
    @pytest.mark.parametrize(
        ("stage", "accepted"),
        [(Stage.BANNER, 0), (Stage.MAIL, 0), (Stage.DATA, 0), (Stage.END_OF_DATA, 0), (Stage.ACCEPTED, 1)],
    )
    def test_closes_the_connection(self, server, stage, accepted):
        server.fail(stage, DROP)

        with pytest.raises(smtplib.SMTPServerDisconnected):
            send(server.port)

        assert [mail.is_replied for mail in server.log.accepted()] == [False] * accepted
        send(server.port)
        assert server.log.connections_at(inf) == {1}
        assert server.log.accepted_ids() == {"<1@shop.example>": accepted + 1}


class TestStall:
    @pytest.mark.parametrize(("stage", "accepted"), [(Stage.BANNER, 0), (Stage.RCPT, 0), (Stage.ACCEPTED, 1)])
    def test_never_replies(self, server, stage, accepted):
        server.fail(stage, STALL)

        with pytest.raises((TimeoutError, smtplib.SMTPServerDisconnected), match="timed out"):
            send(server.port, timeout=SOCKET_SECONDS)

        assert [mail.is_replied for mail in server.log.accepted()] == [False] * accepted


class TestDrip:
    def test_keeps_each_byte_within_the_timeout_of_the_socket_and_the_reply_beyond_it(self, server):
        server.fail(Stage.MAIL, DRIP, pause=SOCKET_SECONDS / 10)
        began = time.monotonic()

        send(server.port, timeout=SOCKET_SECONDS)

        assert time.monotonic() - began > SOCKET_SECONDS
        assert server.log.faults() == {(Stage.MAIL, DRIP): 1}
        assert server.log.accepted_ids() == {"<1@shop.example>": 1}


class TestStop:
    def test_refuses_connections_until_the_start(self, server):
        stalled = smtplib.SMTP(LOCALHOST, server.port)
        server.stop()

        with pytest.raises(smtplib.SMTPServerDisconnected):
            stalled.ehlo()
        with pytest.raises(ConnectionRefusedError):
            send(server.port)
        server.start()
        send(server.port)

        assert server.log.accepted_ids() == {"<1@shop.example>": 1}


class TestProcess:
    def test_keeps_its_port_and_its_log_when_it_is_killed(self, tmp_path):
        faults = [Fault(Stage.RCPT, GREYLISTED, times=1), Fault(Stage.ACCEPTED, DROP, recipient="bob@example.com")]
        with MailServer(tmp_path / "server.log", tmp_path / "mails.log", faults=faults) as server:
            assert reply_to(lambda: send(server.port)) == 451
            send(server.port)
            with pytest.raises(smtplib.SMTPServerDisconnected):
                send(server.port, 2, to="bob@example.com")
            server.kill()
            with pytest.raises(ConnectionRefusedError), socket.create_connection((LOCALHOST, server.port)):
                pass
            server.start()
            assert reply_to(lambda: send(server.port, 3)) == 451
            send(server.port, 3)

        assert server.mails.accepted_ids() == {"<1@shop.example>": 1, "<2@shop.example>": 1, "<3@shop.example>": 1}
        assert len({mail.connection for mail in server.mails.accepted()}) == 3
        assert server.mails.faults() == {(Stage.RCPT, GREYLISTED): 2, (Stage.ACCEPTED, DROP): 1}
