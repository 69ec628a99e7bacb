import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from notifications.sms import get_connection
from notifications.sms.backends.base import (
    InvalidSignature,
    Outcome,
    Receipt,
    SmsRejected,
    SmsUnavailable,
    SmsUnknown,
)
from notifications.sms.backends.twilio import SmsBackend
from tests.programs import free_port

from .messages import sms
from .receipts import receipt_of, signature_of
from .twilio_server import disconnecting, dripping, failing, refusing


def send(**changes):
    with get_connection() as connection:
        return connection.send(sms(**changes))


class TestSend:
    def test_returns_the_id_of_the_message(self, twilio):
        assert send() == twilio.sent[0]["sid"]

        assert twilio.forms == [
            {
                "To": "+441134960001",
                "From": "+441134960999",
                "Body": "Your order K7Q4-M2XN is paid.",
                "ValidityPeriod": "3600",
            }
        ]

    @pytest.mark.parametrize(("seconds", "sent"), [(-5, "1"), (36_000, "36000"), (259_200, "36000")])
    def test_limits_the_validity_as_twilio_does(self, twilio, seconds, sent):
        send(valid_seconds=seconds)

        assert twilio.forms[0]["ValidityPeriod"] == sent

    def test_sends_by_a_messaging_service(self, twilio, settings):
        settings.NOTIFICATIONS = replace(settings.NOTIFICATIONS, sms_from="MG" + 32 * "0")

        send()

        assert (twilio.forms[0]["MessagingServiceSid"], "From" in twilio.forms[0]) == ("MG" + 32 * "0", False)

    def test_sends_many_over_one_connection(self, twilio):
        with get_connection() as connection:
            for number in range(3):
                connection.send(sms(f"number {number}"))

        assert (len(twilio.sent), twilio.connections) == (3, 1)

    @pytest.mark.parametrize(
        ("status", "code", "suppression"),
        [
            (400, 21211, "bounced"),
            (400, 21614, "bounced"),
            (400, 21610, "unsubscribed"),
            (400, 21408, ""),
            (422, None, ""),
        ],
    )
    def test_rejects_a_message_by_twilios_error(self, twilio, status, code, suppression):
        twilio.script.append(refusing(status, code))

        with pytest.raises(SmsRejected) as rejected:
            send()

        assert (str(rejected.value), rejected.value.suppression) == (
            f"Twilio answered HTTP {status}, error {code or 0}.",
            suppression,
        )

    @pytest.mark.parametrize(
        "reply",
        [
            refusing(429, 20429),
            refusing(503),
            failing(503),
            refusing(401, 20003),
            refusing(403, 20005),
            refusing(400, 21606),
        ],
    )
    def test_is_unavailable_while_twilio_takes_no_message_of_the_shop(self, twilio, reply):
        twilio.script.append(reply)

        with pytest.raises(SmsUnavailable):
            send()

    def test_is_unavailable_while_nothing_listens(self, twilio, settings):
        nobody = f"http://127.0.0.1:{free_port()}"
        settings.NOTIFICATIONS = replace(settings.NOTIFICATIONS, twilio_api_base=nobody)

        with pytest.raises(SmsUnavailable, match="Twilio cannot be reached: ConnectionRefusedError"):
            send()

    @pytest.mark.parametrize(
        "reply",
        [
            disconnecting(taken=True),
            disconnecting(taken=False),
            refusing(500),
            failing(502),
            failing(200),
            failing(200, b'{"more": ' + b"[" * 100_000),
        ],
    )
    def test_does_not_know_whether_an_unanswered_message_was_sent(self, twilio, reply):
        twilio.script.append(reply)

        with get_connection() as connection, pytest.raises(SmsUnknown):
            connection.send(sms())

    def test_goes_on_after_a_lost_answer(self, twilio):
        twilio.script.append(disconnecting(taken=False))

        with get_connection() as connection:
            with pytest.raises(SmsUnknown):
                connection.send(sms("one"))
            connection.send(sms("two"))

        assert [message["body"] for message in twilio.sent] == ["two"]

    def test_goes_on_after_an_answer_that_is_too_long_to_read(self, twilio):
        twilio.script.append(failing(400, bytes(2_000_000)))

        with get_connection() as connection:
            with pytest.raises(SmsRejected):
                connection.send(sms("one"))
            connection.send(sms("two"))

        assert [message["body"] for message in twilio.sent] == ["two"]

    def test_gives_up_an_answer_that_drips(self, twilio, settings):
        settings.NOTIFICATIONS = replace(settings.NOTIFICATIONS, sms_timeout_seconds=0.3)
        twilio.script.append(dripping)
        began = time.monotonic()

        with pytest.raises(SmsUnknown):
            send()

        assert time.monotonic() - began < 5


class TestLookUp:
    def look_up(self, message, *, since=None):
        with get_connection() as connection:
            return connection.look_up(message, since=since or datetime.now(UTC))

    def test_finds_a_message_whose_answer_was_lost(self, twilio):
        twilio.script.append(disconnecting(taken=True))
        with pytest.raises(SmsUnknown):
            send()

        assert self.look_up(sms()) == twilio.sent[0]["sid"]

    def test_finds_none_that_is_not_the_same(self, twilio):
        twilio.take({"To": "+441134960001", "Body": "another text"})
        twilio.take({"To": "+441134960002", "Body": sms().body})
        twilio.take({"To": "+441134960001", "Body": sms().body}, ago=timedelta(minutes=10))

        assert self.look_up(sms()) == ""

    def test_finds_a_message_of_a_trial_account(self, twilio):
        sid = twilio.take({"To": "+441134960001", "Body": f"Sent from your Twilio trial account - {sms().body}"})

        assert self.look_up(sms()) == sid

    @pytest.mark.parametrize("date", ["", "yesterday", "Mon, 28 Nov 2026 10:00:00 -0000"])
    def test_is_unavailable_while_dates_cannot_be_read(self, twilio, date):
        twilio.take({"To": "+441134960001", "Body": sms().body})
        twilio.sent[0]["date_created"] = date

        with pytest.raises(SmsUnavailable):
            self.look_up(sms())

    def test_is_unavailable_while_twilio_does_not_answer(self, twilio, settings):
        settings.NOTIFICATIONS = replace(settings.NOTIFICATIONS, twilio_api_base=f"http://127.0.0.1:{free_port()}")

        with pytest.raises(SmsUnavailable):
            self.look_up(sms())


URL = "https://mycompany.com/myapp.php?foo=1&bar=2"
FORM = {
    "CallSid": ["CA1234567890ABCDE"],
    "Caller": ["+14158675309"],
    "Digits": ["1234"],
    "From": ["+14158675309"],
    "To": ["+18005551212"],
}
SIGNATURE = "RSOYDt4T1cUTdK1PDd93/VVr8B8="
"""The example of Twilio's documentation, whose token is 12345."""


class TestReceipt:
    def read(self, url=URL, form=FORM, signature=SIGNATURE):
        return SmsBackend().read_receipt(url, form, {"x-twilio-signature": signature})

    def test_is_verified_as_twilio_documents(self, twilio):
        assert self.read() is None

    def test_is_verified_if_twilio_signed_the_url_with_its_port(self, twilio):
        assert self.read(signature="kvajT1Ptam85bY51eRf/AJRuM3w=") is None

    @pytest.mark.parametrize(
        "changes",
        [
            {"url": URL.replace("https", "http")},
            {"url": URL.replace("bar=2", "bar=3")},
            {"url": URL.replace("mycompany", "another")},
            {"form": FORM | {"Digits": ["1235"]}},
            {"form": FORM | {"More": ["1"]}},
            {"form": {}},
            {"signature": ""},
            {"signature": "ü"},
            {"signature": SIGNATURE.lower()},
        ],
    )
    def test_is_rejected_if_twilio_did_not_sign_it(self, twilio, changes):
        with pytest.raises(InvalidSignature):
            self.read(**changes)

    def test_is_rejected_without_a_token_of_the_account(self, twilio, settings):
        settings.NOTIFICATIONS = replace(settings.NOTIFICATIONS, twilio_auth_token="")

        with pytest.raises(InvalidSignature):
            self.read()

    @pytest.mark.parametrize(
        ("fields", "outcome"),
        [
            ({"MessageStatus": "sent"}, {"outcome": Outcome.ACCEPTED}),
            ({"MessageStatus": "delivered"}, {"outcome": Outcome.DELIVERED}),
            (
                {"MessageStatus": "undelivered", "ErrorCode": "30005"},
                {"outcome": Outcome.BOUNCED, "error": "Twilio error 30005.", "suppression": "bounced"},
            ),
            (
                {"MessageStatus": "failed", "ErrorCode": "30008"},
                {"outcome": Outcome.BOUNCED, "error": "Twilio error 30008."},
            ),
        ],
    )
    def test_says_what_became_of_the_message(self, twilio, fields, outcome):
        url, form = receipt_of("0199a5c0", **fields)

        receipt = self.read(url, form, signature_of(url, form))

        assert receipt == Receipt(provider_id="SM1", reference="0199a5c0", **outcome)
