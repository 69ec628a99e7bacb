import logging

import pytest
from django.db import IntegrityError, connection, transaction

from messaging.kernel.redaction import RedactingFormatter, redact
from orders.models import Order
from tests.factories import make_stock, place_order

EMAIL, PHONE, NOTE = "quux+canary@mail.example.net", "+441134969999", "Leave it\n\nwith the zebra"


class TestRedact:
    @pytest.mark.parametrize(
        ("text", "redacted"),
        [
            (f"The provider rejected {EMAIL}: no", "The provider rejected (address): no"),
            (f"{{'{EMAIL}': (550, b'<{EMAIL}> unknown')}}", "{'(address)': (550, b'<(address)> unknown')}"),
            (f"to={PHONE}, from: {PHONE}.", "to=(number), from: (number)."),
            ("/admin/?q=quux%40mail.example.net&p=%2B441134969999", "/admin/?q=(address)&p=(number)"),
            ("Failed\nDETAIL:  Key (email)=(x).\nmore", "Failed\nDETAIL: (withheld)\n"),
            (repr(ValueError("Failed\nCONTEXT:  COPY x")), "ValueError('Failed\\nCONTEXT: (withheld)"),
        ],
    )
    def test_removes_addresses_numbers_and_rows(self, text, redacted):
        assert redact(text) == redacted

    @pytest.mark.parametrize(
        "text",
        [
            *("x" * 1_000_000, "@" * 100_000, "a@" * 100_000, "%40a." * 100_000, "DETAIL" * 100_000),
            "2026-11-28T22:30:00+00:00 Order 0190a5f4-7c1e-7d3a-9b52-3f6d1c2e4a01 is confirmed.",
            "user@host is no address, nor is @decorator, nor 1+1234567, nor GET /api/v1/orders/?status=placed",
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
