from datetime import UTC, datetime

import pytest

from payments.gateway.protocol import Money, StatementEntry, Unreachable
from tests.payments.gateway.adapters.stripe.scenes import chair, only, refund_request
from tests.payments.gateway.adapters.stripe.server import Fault


class TestStatement:
    def test_has_captures_and_refunds_of_many_pages(self, gateway, server):
        server.page_size = 2
        references = [gateway.charge(chair(idempotency_key=f"pay-{number}")).reference for number in range(5)]
        gateway.charge(chair(idempotency_key="declined", payment_method="pm_card_chargeDeclined"))
        gateway.refund(refund_request(references[0], amount=1000))

        entries = {entry.charge_key: entry for entry in gateway.statement(None)}
        assert sorted(entries) == [f"pay-{number}" for number in range(5)]
        assert entries["pay-0"] == StatementEntry(
            charge_key="pay-0",
            order_id="order-1",
            reference=references[0],
            captured=Money(2500, "EUR"),
            captured_at=datetime.fromtimestamp(server.now, UTC),
            refunds={"refund-1": 1000},
        )

    def test_has_older_charges_with_all_their_refunds_if_one_is_new(self, gateway, server):
        refunded = gateway.charge(chair(idempotency_key="refunded")).reference
        gateway.charge(chair(idempotency_key="old"))
        gateway.refund(refund_request(refunded, amount=100, idempotency_key="old-refund"))
        server.now += 1000
        new = gateway.charge(chair(idempotency_key="new")).reference
        gateway.refund(refund_request(refunded, amount=200, idempotency_key="new-refund"))
        gateway.refund(refund_request(new, amount=300, idempotency_key="refund-of-new"))

        entries = list(gateway.statement(datetime.fromtimestamp(server.now, UTC)))
        assert [entry.charge_key for entry in entries] == ["new", "refunded"]
        assert entries[0].refunds == {"refund-of-new": 300}
        assert entries[1].refunds == {"old-refund": 100, "new-refund": 200}

    def test_omits_charges_of_others_pending_ones_and_failed_refunds(self, gateway, server):
        reference = gateway.charge(chair()).reference
        server.refund_status = "failed"
        gateway.refund(refund_request(reference, amount=100))
        for key, changes in [("foreign", {"metadata": {}}), ("pending", {"status": "pending"})]:
            gateway.charge(chair(idempotency_key=key))
            list(server.charges.values())[-1].update(changes)

        assert [(entry.charge_key, entry.refunds) for entry in gateway.statement(None)] == [("pay-1", {})]

    def test_keys_a_refund_of_others_by_its_id(self, gateway, server):
        gateway.refund(refund_request(gateway.charge(chair()).reference, amount=700))
        only(server.refunds)["metadata"] = {}

        (entry,) = gateway.statement(None)
        assert entry.refunds == {only(server.refunds)["id"]: 700}

    def test_is_unreachable_while_stripe_fails(self, gateway, server):
        server.faults.append(Fault("/charges", 500, {"type": "api_error"}))

        with pytest.raises(Unreachable):
            list(gateway.statement(None))
