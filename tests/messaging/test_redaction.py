import json
import logging
from datetime import datetime

import pytest
from django.db import IntegrityError, connection, transaction

from messaging.kernel.redaction import JsonFormatter, RedactingFormatter, redact
from orders.models import Order
from tests.factories import make_stock, place_order

EMAIL, PHONE, NOTE = "quux+canary@mail.example.net", "+441134969999", "Leave it\n\nwith the zebra"
TOKEN = 8 * "0123abcd"


class TestRedact:
    @pytest.mark.parametrize(
        ("text", "redacted"),
        [
            (f"The provider rejected {EMAIL}: no", "The provider rejected (address): no"),
            (f"{{'{EMAIL}': (550, b'<{EMAIL}> unknown')}}", "{'(address)': (550, b'<(address)> unknown')}"),
            (f"to={PHONE}, from: {PHONE}.", "to=(number), from: (number)."),
            ("/admin/?q=quux%40mail.example.net&p=%2B441134969999", "/admin/?q=(address)&p=(number)"),
            ("Failed\nDETAIL:  Key (email)=(x).\nmore", "Failed\nDETAIL: (withheld)\n"),
            (
                "redis://:s3cret@broker:6379/0, amqp://shop:s3cret@b/x",
                "redis://:(secret)@broker:6379/0, amqp://shop:(secret)@b/x",
            ),
            (f"Token shop_{TOKEN} is not {TOKEN[:8]}", f"Token shop_(secret) is not {TOKEN[:8]}"),
            (
                "whsec_b25seS1m+/bw== and sk_live_51Hx, rk_test_9",
                "whsec_(secret) and sk_live_(secret), rk_test_(secret)",
            ),
            (
                "Not Found: /unsubscribe/WyIxIiwicGF5Il0:1vP9-_x:a_b-C/ of /unsubscribe/",
                "Not Found: /unsubscribe/(secret)/ of /unsubscribe/",
            ),
            (repr(ValueError("Failed\nCONTEXT:  COPY x")), "ValueError('Failed\\nCONTEXT: (withheld)"),
        ],
    )
    def test_removes_addresses_numbers_rows_and_secrets(self, text, redacted):
        assert redact(text) == redacted

    @pytest.mark.parametrize(
        "text",
        [
            *("x" * 1_000_000, "@" * 100_000, "a@" * 100_000, "%40a." * 100_000, "DETAIL" * 100_000, "://a:" * 100_000),
            "2026-11-28T22:30:00+00:00 Order 0190a5f4-7c1e-7d3a-9b52-3f6d1c2e4a01 is confirmed.",
            "user@host is no address, nor is @decorator, nor 1+1234567, nor GET /api/v1/orders/?status=placed",
            "shop_pending_deliveries of http://127.0.0.1:8000/ at shop_root",
            'File "messaging/relay.py", line 71, in run\n    raise ValueError("DETAIL")',
        ],
    )
    def test_keeps_everything_else(self, text):
        assert redact(text) == text


@pytest.mark.django_db
def test_a_traceback_of_a_rejected_row_is_logged_without_the_row():
    make_stock()
    place_order(email=EMAIL, phone=PHONE, note=NOTE)
    try:
        with transaction.atomic():
            Order.objects.update(total=-1)
    except IntegrityError as error:
        record = logging.LogRecord(
            "shop", logging.ERROR, __file__, 1, "Failed: %r", (error,), (type(error), error, error.__traceback__)
        )

    line = RedactingFormatter().format(record)

    assert "IntegrityError" in line
    assert "violates check constraint" in line or "CHECK constraint failed" in line
    assert [text for text in (EMAIL, PHONE, "zebra") if text in line] == []
    assert ("(withheld)" in line) == (connection.vendor == "postgresql")


class TestJsonFormatter:
    def record_of(self, message: str, *arguments: object, **more: object) -> logging.LogRecord:
        record = logging.LogRecord("shop", logging.WARNING, __file__, 1, message, arguments, None)
        record.__dict__ |= more
        return record

    def line_of(self, record: logging.LogRecord) -> dict[str, object]:
        text = JsonFormatter().format(record)
        assert "\n" not in text
        return json.loads(text)

    def test_writes_an_object_with_the_ids_that_are_known(self):
        record = self.record_of("Paid %s", "order 7", request_id="4bf92f35", trace_id="-", message_ids=[], ids="x")

        line = self.line_of(record)

        assert line == {
            "time": line["time"],
            "level": "WARNING",
            "logger": "shop",
            "process": record.process,
            "message": "Paid order 7",
            "request_id": "4bf92f35",
        }
        assert datetime.fromisoformat(line["time"]).timestamp() == pytest.approx(record.created, abs=0.001)

    def test_writes_an_exception_as_a_field(self):
        try:
            int(f"{EMAIL}\nDETAIL: {NOTE}")
        except ValueError as error:
            record = self.record_of(f"Failed: {EMAIL}")
            record.exc_info = (type(error), error, error.__traceback__)

        line = self.line_of(record)

        assert line["message"] == "Failed: (address)"
        assert line["exception"].startswith("Traceback (most recent call last):")
        assert (
            "ValueError: invalid literal for int() with base 10: '(address)\\nDETAIL: (withheld)" in line["exception"]
        )

    @pytest.mark.parametrize("text", [EMAIL, PHONE, f"shop_{TOKEN}", "whsec_b25seS1mb3I"])
    def test_writes_no_canary(self, text):
        quoted = f'"{text}", {text}\n'
        record = self.record_of("To %s", quoted, message_keys=[quoted], message_ids=[text])
        record.exc_text = record.stack_info = quoted

        assert text not in JsonFormatter().format(record)

    @pytest.mark.parametrize("text", ["\ud800", "a\x00b", '"}\r\n{"', "\u2028", "Stühle"])
    def test_keeps_every_text_in_one_line(self, text):
        assert self.line_of(self.record_of("%s", text))["message"] == text
