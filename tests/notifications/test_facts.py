import pytest

from messaging.contracts import ConfirmedLine, decode
from notifications.facts import Facts, facts_of, kind_of, printable
from notifications.samples import SAMPLES
from tests.notifications.events import ORDER, cancelled, confirmed


class TestKindOf:
    @pytest.mark.parametrize(
        ("reason", "kind"),
        [
            ("out_of_stock", "out_of_stock"),
            ("payment_failed", "payment_failed"),
            ("expired", "order_expired"),
            ("by_customer", "order_cancelled"),
            ("by_operator", "order_cancelled"),
            ("a reason of a later release", "order_cancelled"),
        ],
    )
    def test_tells_why_an_order_is_cancelled(self, reason, kind):
        assert kind_of(cancelled(reason)) == kind

    def test_has_a_sample_of_each_kind(self):
        assert {kind_of(event) for event in SAMPLES.values()} == {
            "order_received",
            "order_confirmed",
            "out_of_stock",
            "payment_failed",
            "payment_due_soon",
            "order_expired",
            "order_cancelled",
            "payment_refunded",
            "password_reset",
            "password_changed",
            "sign_up",
            "account_exists",
        }


class TestFactsOf:
    def test_takes_lines_and_total_of_a_confirmed_order(self):
        line = ConfirmedLine(sku="MUG", name="Mug\n <& more>", quantity=1, unit_price=350)

        assert facts_of(confirmed(lines=(line,), number="K7Q4-M2X0")) == Facts(
            order_id=ORDER,
            number="K7Q4-M2X0",
            currency="GBP",
            total=9_000,
            lines=(ConfirmedLine(sku="MUG", name="Mug <& more>", quantity=1, unit_price=350),),
        )

    def test_counts_a_surplus_payment_not_as_part_of_the_total(self):
        facts = facts_of(SAMPLES["refunded-a-double-payment"])

        assert (facts.amount, facts.total, facts.refunded, facts.cause) == (15_750, 15_750, 0, "double")

    @pytest.mark.parametrize(
        ("type_", "payload"),
        [
            ("orders.order_placed", '{"order_id":"1","lines":[]}'),
            ("orders.payment_due_soon", '{"order_id":"1","amount":1,"currency":"GBP","email":""}'),
            ("orders.order_confirmed", '{"order_id":"1","total":1,"currency":"GBP","email":"","lines":[]}'),
            (
                "payments.payment_refunded",
                '{"order_id":"1","refund_id":"2","amount":1,"currency":"GBP","email":"","reason":"paid twice"}',
            ),
        ],
    )
    def test_reads_events_of_earlier_releases(self, type_, payload):
        facts = facts_of(decode(type_, payload))

        assert (facts.number, facts.lines, facts.due_at, facts.refunded, facts.cause) == ("", (), None, 0, "")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("Red chair", "Red chair"),
        (" Red\r\nBcc: eve@example.com\x00 ", "Red Bcc: eve@example.com"),
        ("Red\u2028chair\u2029", "Red chair"),
        ("\u202echair\u202c \u2066x\u2069", "chair x"),
        ("כיסא אדום", "\u2068כיסא אדום\u2069"),
        ("12\u00a0Stühle", "12 Stühle"),
    ],
)
def test_a_text_from_outside_is_one_line_that_affects_no_other(text, line):
    assert printable(text) == line
