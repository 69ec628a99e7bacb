"""
E-mails to a real SMTP server that fails. Its log is the truth about what it accepted.
"""

import time
from dataclasses import replace

import pytest

from notifications.models import Notification
from tests.notifications.mails import queue_to, send
from tests.notifications.tls import dripping_handshakes, write_certificate
from tests.smtp_faults import ALWAYS, DRIP, DROP, Stage
from tests.smtp_server import SmtpServer

pytestmark = pytest.mark.django_db

ADA, BOB, EVE = "ada@example.com", "bob@example.com", "eve@example.com"


def row() -> tuple[str, str, str]:
    return Notification.objects.values_list("status", "reason", "error").get()


class TestAcceptedMail:
    def test_is_settled_and_has_the_id_of_its_notification(self, mail_server):
        [id_] = queue_to(ADA)

        assert send([id_]) == ""

        assert mail_server.log.accepted_ids() == {f"<{id_}@example.com>": 1}
        assert row() == ("accepted", "", "")

    def test_is_one_of_many_over_few_connections(self, mail_server, settings):
        settings.NOTIFICATIONS = replace(settings.NOTIFICATIONS, email_connections=2)
        ids = queue_to(*[f"customer-{number}@example.com" for number in range(20)])

        assert send(ids) == ""

        assert set(mail_server.log.accepted_ids().values()) == {1}
        assert len(mail_server.log.accepted()) == 20
        assert mail_server.log.connections() == 2


class TestRejectedMail:
    @pytest.mark.parametrize(
        ("stage", "reply", "status"),
        [
            (Stage.RCPT, "550 5.1.1 <ada@example.com>: no such user ada", ("bounced", "no_mailbox")),
            (Stage.RCPT, "550 No such user", ("bounced", "no_mailbox")),
            (Stage.RCPT, "550 5.1.1 \0\x1b[31m no such user", ("bounced", "no_mailbox")),
            (Stage.RCPT, "550 5.7.1 Rejected by policy", ("failed", "rejected")),
            (Stage.RCPT, "550 Relaying denied", ("failed", "rejected")),
            (Stage.RCPT, "550 192.0.2.1 is blocked, see the RBL", ("failed", "rejected")),
            (Stage.RCPT, "552 5.2.2 Mailbox full", ("failed", "rejected")),
            (Stage.DATA, "554 5.6.0 No", ("failed", "rejected")),
            (Stage.END_OF_DATA, "554 5.7.1 Spam of ada@example.com", ("failed", "rejected")),
        ],
    )
    def test_is_not_sent_again_and_delays_no_other(self, mail_server, stage, reply, status):
        mail_server.fail(stage, reply, recipient=ADA, times=ALWAYS)
        ids = queue_to(ADA, BOB)

        assert send(ids) == ""

        rejected, accepted = Notification.objects.order_by("recipient")
        assert (rejected.status, rejected.reason) == status
        assert "ada" not in rejected.error
        assert rejected.error.startswith(reply[:3])
        assert rejected.error.isprintable()
        assert accepted.status == "accepted"

    def test_delays_no_other_if_the_connection_ends_after_it(self, mail_server, settings):
        settings.NOTIFICATIONS = replace(settings.NOTIFICATIONS, email_connections=1)
        mail_server.fail(Stage.RCPT, "550 5.1.1 No such user", recipient=ADA)
        mail_server.fail(Stage.RSET, DROP)
        ids = queue_to(ADA, BOB)

        assert send(ids) == ""

        assert dict(Notification.objects.values_list("recipient", "status")) == {ADA: "bounced", BOB: "accepted"}

    @pytest.mark.parametrize("stage", [Stage.RCPT, Stage.DATA, Stage.END_OF_DATA])
    def test_for_now_is_deferred_alone(self, mail_server, stage):
        mail_server.fail(stage, "451 4.7.1 Greylisted", recipient=ADA)
        ids = queue_to(ADA, BOB)

        assert send(ids) == "NotReady 1"
        assert send(ids) == ""

        assert set(Notification.objects.values_list("status", flat=True)) == {"accepted"}
        assert set(mail_server.log.accepted_ids().values()) == {1}


class TestOutage:
    @pytest.mark.parametrize(
        ("stage", "action"),
        [
            (Stage.BANNER, DROP),
            (Stage.MAIL, "550 5.7.1 <shop@example.com> is not yours"),
            (Stage.RCPT, "451 4.3.0 Disk full"),
        ],
    )
    def test_defers_every_mail_until_it_ends(self, mail_server, stage, action):
        mail_server.fail(stage, action, times=ALWAYS)
        ids = queue_to(ADA, BOB, EVE)

        assert send(ids) == "PartlyUnavailable 3"
        assert set(Notification.objects.values_list("status", flat=True)) == {"sending"}
        assert mail_server.log.accepted() == []

        mail_server.faults.clear()
        assert send(ids) == ""
        assert sorted(mail_server.log.accepted_ids().values()) == [1, 1, 1]

    def test_of_a_server_that_refuses_connections(self, mail_server):
        mail_server.stop()
        ids = queue_to(ADA, BOB)

        assert send(ids) == "PartlyUnavailable 2"

        mail_server.start()
        assert send(ids) == ""

    @pytest.mark.parametrize(
        "changes",
        [
            {"EMAIL_HOST": "mail..example"},
            {"EMAIL_HOST": "no-such-host.invalid"},
            {"EMAIL_HOST_USER": "shop", "EMAIL_HOST_PASSWORD": "secret"},
        ],
    )
    def test_of_a_server_without_a_name_or_a_login_fails_no_mail(self, mail_server, settings, changes):
        mail_server.fail(Stage.EHLO, "250-mail.example\r\n250 AUTH CRAM-MD5", times=ALWAYS)
        mail_server.fail(Stage.AUTH, "334 x", times=ALWAYS)
        for name, value in changes.items():
            setattr(settings, name, value)
        ids = queue_to(ADA)

        assert send(ids) == "PartlyUnavailable 1"

        assert row()[0] == "sending"

    def test_by_a_wrong_password_names_the_settings(self, mail_server, settings):
        settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD = "shop", "secret"
        mail_server.fail(Stage.AUTH, "535 5.7.8 Authentication failed", times=ALWAYS)
        ids = queue_to(ADA)

        assert send(ids) == "PartlyUnavailable 1"

        status, _, error = row()
        assert status == "sending"
        assert error.startswith("The mail server rejects EMAIL_HOST_USER with EMAIL_HOST_PASSWORD: 535")


class TestUnknownMail:
    def test_is_sent_again_with_the_same_id_and_bytes(self, mail_server):
        mail_server.fail(Stage.ACCEPTED, DROP)
        ids = queue_to(ADA)

        assert send(ids) == "PartlyUnavailable 1"
        assert row()[0] == "unknown"

        assert send(ids) == ""
        assert row()[0] == "accepted"
        assert mail_server.log.accepted_ids() == {f"<{ids[0]}@example.com>": 2}
        assert len({mail.digest for mail in mail_server.log.accepted()}) == 1


class TestF25ServerThatDrips:
    """Each byte comes within the timeout of the socket, and the whole far beyond the time that a mail may take."""

    @pytest.fixture(autouse=True)
    def _deadline(self, settings, mail_server):
        settings.NOTIFICATIONS = replace(settings.NOTIFICATIONS, email_deadline_seconds=0.5)

    def test_costs_no_more_than_the_deadline_of_a_mail(self, mail_server):
        mail_server.fail(Stage.MAIL, DRIP, times=ALWAYS)
        ids = queue_to(ADA, BOB, EVE)
        began = time.monotonic()

        assert send(ids) == "PartlyUnavailable 3"

        assert time.monotonic() - began < 2
        assert mail_server.log.accepted() == []

    @pytest.mark.parametrize("setting", ["EMAIL_USE_TLS", "EMAIL_USE_SSL"])
    def test_costs_no_more_over_tls(self, settings, tmp_path, monkeypatch, setting):
        context = write_certificate(tmp_path / "server.pem")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "server.pem"))
        setattr(settings, setting, True)
        ids = queue_to(ADA)
        option = {"EMAIL_USE_TLS": "tls_context", "EMAIL_USE_SSL": "ssl_context"}[setting]
        with SmtpServer(tmp_path / "tls.log", **{option: context}) as server:
            settings.EMAIL_PORT = server.port
            server.fail(Stage.RCPT, DRIP)
            began = time.monotonic()

            assert send(ids) == "PartlyUnavailable 1"
            assert time.monotonic() - began < 2

            assert send(ids) == ""
            assert server.log.accepted_ids().total() == 1

    @pytest.mark.parametrize("setting", ["EMAIL_USE_TLS", "EMAIL_USE_SSL"])
    def test_costs_no_more_while_tls_is_negotiated(self, settings, setting):
        setattr(settings, setting, True)
        ids = queue_to(ADA, BOB)
        with dripping_handshakes(after_starttls=setting == "EMAIL_USE_TLS") as port:
            settings.EMAIL_PORT = port
            began = time.monotonic()

            assert send(ids) == "PartlyUnavailable 2"
            assert time.monotonic() - began < 2


class TestServerWithoutEnd:
    """Its replies have more lines than fit into memory."""

    @pytest.mark.parametrize(("stage", "status"), [(Stage.RCPT, "sending"), (Stage.END_OF_DATA, "unknown")])
    @pytest.mark.parametrize("reply", ["550-No <ada@example.com>\r\n" * 5_000 + "550 No", f"550 {'no' * 5_000}"])
    def test_is_cut_off(self, mail_server, stage, status, reply):
        mail_server.fail(stage, reply)
        ids = queue_to(ADA)

        assert send(ids) == "PartlyUnavailable 1"

        assert row()[0] == status
        assert row()[2].endswith("The reply is too long.")
        assert send(ids) == ""


class TestF26ServerThatGreylists:
    def test_gets_each_mail_again_and_delays_those_to_known_recipients_no_further(self, mail_server):
        mail_server.fail(Stage.RCPT, "451 4.7.1 Greylisted, try again in a minute", times=ALWAYS, greylists=True)
        assert send(queue_to(ADA)) == "NotReady 1"

        ids = queue_to(BOB)
        assert send(ids) == "NotReady 1"
        assert dict(Notification.objects.values_list("recipient", "status")) == {ADA: "accepted", BOB: "sending"}

        assert send(ids) == ""
        assert mail_server.log.accepted_ids().total() == 2
