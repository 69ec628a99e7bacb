from collections.abc import Iterator
from dataclasses import replace

import pytest

from shop.settings.groups import TWILIO_SMS
from tests.notifications.sms.twilio_server import ACCOUNT, TOKEN, TwilioServer
from tests.programs import LOCALHOST
from tests.smtp_server import SmtpServer


@pytest.fixture(autouse=True)
def _shop(settings):
    settings.SHOP = replace(settings.SHOP, name="Ada's Chairs", operator_email="olga@example.com")


@pytest.fixture
def mail_server(tmp_path, settings) -> Iterator[SmtpServer]:
    """An SMTP server on loopback, to which mails are sent."""
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST = LOCALHOST
    with SmtpServer(tmp_path / "mails.log") as server:
        settings.EMAIL_PORT = server.port
        yield server


@pytest.fixture
def twilio(settings) -> Iterator[TwilioServer]:
    """Twilio's API on loopback, as the provider of SMS."""
    with TwilioServer() as server:
        settings.NOTIFICATIONS = replace(
            settings.NOTIFICATIONS,
            sms_backend=TWILIO_SMS,
            sms_from="+441134960999",
            twilio_account_sid=ACCOUNT,
            twilio_auth_token=TOKEN,
            twilio_api_base=server.url,
        )
        yield server
