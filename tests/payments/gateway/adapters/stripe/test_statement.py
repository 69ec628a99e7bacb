"""
Stripe's books, as far as they are ours.
"""

from datetime import UTC, datetime

import pytest

from payments.gateway.protocol import Money, StatementEntry, Unreachable
from tests.payments.gateway.adapters.stripe.scenes import chair, only, refund_request
from tests.payments.gateway.adapters.stripe.server import Fault


class TestStatement:
    def test_lists_what_was_captured_and_given_back_over_many_pages(self, gateway, server):
        server.page_size = 2
        references = [gateway.charge(chair(idempotency_key=f"pay-{number}")).reference for number in range(5)]
        gateway.charge(chair(idempotency_key="declined", payment_method="pm_card_chargeDeclined"))
        gateway.refund(refund_request(references[0], amount=1000))

        bookings = {booking.charge_key: booking for booking in gateway.statement(None)}
        assert sorted(bookings) == [f"pay-{number}" for number in range(5)]
        assert bookings["pay-0"] == StatementEntry(
            charge_key="pay-0",
            order_id="order-1",
            reference=references[0],
            captured=Money(2500, "EUR"),
            captured_at=datetime.fromtimestamp(server.now, UTC),
            refunds={"refund-1": 1000},
        )

    def test_lists_older_charges_with_all_their_refunds_if_one_is_new(self, gateway, server):
        refunded = gateway.charge(chair(idempotency_key="refunded")).reference
        gateway.charge(chair(idempotency_key="old"))
        gateway.refund(refund_request(refunded, amount=100, idempotency_key="old-refund"))
        server.now += 1000
        new = gateway.charge(chair(idempotency_key="new")).reference
        gateway.refund(refund_request(refunded, amount=200, idempotency_key="new-refund"))
        gateway.refund(refund_request(new, amount=300, idempotency_key="refund-of-new"))

        bookings = list(gateway.statement(datetime.fromtimestamp(server.now, UTC)))
        assert [booking.charge_key for booking in bookings] == ["new", "refunded"]
        assert bookings[0].refunds == {"refund-of-new": 300}
        assert bookings[1].refunds == {"old-refund": 100, "new-refund": 200}

    def test_leaves_out_what_is_not_ours_and_refunds_that_failed(self, gateway, server):
        reference = gateway.charge(chair()).reference
        server.refund_status = "failed"
        gateway.refund(refund_request(reference, amount=100))
        gateway.charge(chair(idempotency_key="foreign"))
        list(server.charges.values())[-1]["metadata"] = {}

        assert [(booking.charge_key, booking.refunds) for booking in gateway.statement(None)] == [("pay-1", {})]

    def test_leaves_out_what_a_bank_has_not_paid_yet(self, gateway, server):
        gateway.charge(chair())
        only(server.charges)["status"] = "pending"

        assert list(gateway.statement(None)) == []

    def test_names_a_foreign_refund_by_stripe_s_name(self, gateway, server):
        gateway.refund(refund_request(gateway.charge(chair()).reference, amount=700))
        only(server.refunds)["metadata"] = {}

        (booking,) = gateway.statement(None)
        assert booking.refunds == {only(server.refunds)["id"]: 700}

    def test_cannot_be_read_while_stripe_fails(self, gateway, server):
        server.faults.append(Fault("/charges", 500, {"type": "api_error"}))

        with pytest.raises(Unreachable):
            list(gateway.statement(None))
