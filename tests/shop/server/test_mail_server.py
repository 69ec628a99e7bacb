"""The mail server of the demo's faults, over SMTP."""

import smtplib
from email.message import EmailMessage

import pytest

from shop.server.mail_server import running_mail_server


@pytest.fixture
def client():
    with running_mail_server(rejected={"mia@example.com"}) as port, smtplib.SMTP("127.0.0.1", port) as client:
        yield client


def mail_to(recipient: str) -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"] = "shop@example.com", recipient
    mail.set_content("Hello.\n.\n")
    return mail


def test_rejects_the_first_mail_to_some_and_takes_the_next(client):
    with pytest.raises(smtplib.SMTPDataError) as rejection:
        client.send_message(mail_to("mia@example.com"))

    assert rejection.value.smtp_code == 554
    assert client.send_message(mail_to("mia@example.com")) == {}


def test_takes_other_mails(client):
    assert client.send_message(mail_to("ada@example.com")) == {}


def test_knows_no_other_commands(client):
    assert client.docmd("VRFY", "mia") == (502, b"Unknown command")
