import re

import pytest
from django.core.management import CommandError
from django.utils import timezone

from messaging.kernel.tracing import trace_id_of, tracing
from messaging.models import Delivery, OutboxMessage
from orders.models import Order
from orders.services import cancel_order
from payments.gateway.protocol import Unreachable
from tests.commands import Terminal, run, run_json
from tests.factories import CustomerFactory, make_stock, place_order

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE_ID}-00f067aa0ba902b7-01"


def trace(order: Order) -> dict:
    return run_json("trace_order", str(order.pk))


def what(order_trace: dict, *contexts: str) -> list[str]:
    entries = [entry["what"] for entry in order_trace["timeline"] if entry["context"] in contexts]
    return [re.sub(r" after \d+ ms$", "", entry) for entry in entries]  # of calls of the gateway


@pytest.fixture(autouse=True)
def _chairs(db):
    make_stock(10)


class TestTraceOrder:
    def test_prints_the_states_of_an_order_over_all_contexts(self, drain):
        order = place_order({"RED-CHAIR": 2}, idempotency_key="536365")
        drain()

        order_trace = trace(order)

        assert {name: order_trace[name] for name in ("order", "number", "idempotency_key", "status", "total")} == {
            "order": str(order.pk),
            "number": order.number,
            "idempotency_key": "536365",
            "status": "confirmed",
            "total": "90.00 GBP",
        }
        assert what(order_trace, "orders", "inventory", "payments") == [
            "placed",
            "stock held: 2 x RED-CHAIR",
            "awaiting_payment",
            "payment of 90.00 GBP opened, now succeeded",
            "captured 90.00 GBP",
            "gateway, charge: succeeded",
            "confirmed",
            "stock committed",
        ]
        assert what(order_trace, "notifications") == [
            "email order_received: accepted",
            "email order_confirmed: accepted",
        ]
        times = [entry["at"] for entry in order_trace["timeline"]]
        assert times == sorted(times)

    def test_prints_the_cause_of_each_message(self, drain):
        order = place_order()
        drain()

        timeline = trace(order)["timeline"]

        assert {entry["what"]: entry["because"] for entry in timeline if entry["context"] == "messaging"} == {
            "orders.order_placed": "",
            "inventory.stock_reserved": "orders.order_placed",
            "orders.payment_requested": "inventory.stock_reserved",
            "orders.payment_due_soon": "inventory.stock_reserved",
            "orders.payment_overdue": "inventory.stock_reserved",
            "payments.payment_succeeded": "orders.payment_requested",
            "orders.order_confirmed": "payments.payment_succeeded",
            "notifications.email_queued": "orders.order_confirmed",
        }

    def test_prints_a_pending_delivery_with_its_latest_error(self, drain, ledger):
        ledger.script.append(Unreachable("The line is dead."))
        order = place_order()
        drain()

        [request] = [entry for entry in trace(order)["timeline"] if entry["what"] == "orders.payment_requested"]

        [delivery] = request["deliveries"]
        due_at = delivery.pop("at")
        assert due_at > request["at"]
        assert delivery == {
            "subscriber": "payments.take_payment",
            "status": "pending",
            "attempts": 0,
            "latest_error": "PartlyUnavailable: No final answer from the gateway to 1 calls: The line is dead.",
        }

    def test_prints_a_refund(self, drain, ledger):
        order = place_order(payment_method="tok_timeout")
        drain()
        cancel_order(str(order.pk), reason=Order.CancelReason.BY_CUSTOMER, now=timezone.now())
        drain()

        order_trace = trace(order)

        assert what(order_trace, "orders") == ["placed", "awaiting_payment", "cancelled: by_customer"]
        assert what(order_trace, "inventory") == ["stock held: 1 x RED-CHAIR", "stock released"]
        assert what(order_trace, "payments") == [
            "payment of 45.00 GBP opened, now succeeded",
            "gateway, charge: timed out",
            "payment withdrawn",
            "captured 45.00 GBP",
            "refund of 45.00 GBP requested: paid after the order was cancelled",
            "gateway, resolve: succeeded",
            "refund of 45.00 GBP succeeded",
            "gateway, refund: succeeded",
        ]

    def test_prints_the_trace_of_the_order_and_of_each_message_in_another(self):
        with tracing(TRACEPARENT):
            order = place_order()
        cancel_order(str(order.pk), reason=Order.CancelReason.BY_CUSTOMER, now=timezone.now())

        order_trace = trace(order)

        traces = {entry["what"]: entry["trace_id"] for entry in order_trace["timeline"] if entry["trace_id"]}
        assert order_trace["trace_id"] == TRACE_ID
        assert {what for what, trace_id in traces.items() if trace_id != TRACE_ID} == {"orders.order_cancelled"}
        first, *lines = run("trace_order", str(order.pk)).splitlines()
        assert first.endswith(f", trace {TRACE_ID}")
        assert [line.split()[3] for line in lines if "  trace " in line] == ["orders.order_cancelled"]

    def test_accepts_the_number_however_it_is_written(self):
        order = place_order()

        first, *_ = run("trace_order", order.number.lower().replace("-", " ")).splitlines()

        assert first.startswith(f"Order {order.number} {order.pk}: placed, 45.00 GBP")

    def test_says_that_a_number_is_mistyped(self):
        with pytest.raises(CommandError, match="The order number K7Q4-M2X1 is mistyped: no order can have it"):
            run("trace_order", "K7Q4-M2X1")

    def test_prints_that_an_order_out_of_stock_holds_none(self, drain):
        order = place_order({"RED-CHAIR": 11})
        drain()

        assert what(trace(order), "orders", "inventory") == [
            "placed",
            "cancelled: out_of_stock",
            "no stock will be held",
        ]

    def test_prints_plain_unwrapped_lines_to_a_pipe(self, drain, ledger):
        ledger.script.append(Unreachable("The line is dead, " + "very " * 50 + "dead."))
        order = place_order(idempotency_key="536365")
        drain()

        first, *lines = run("trace_order", str(order.pk)).splitlines()

        trace_id = trace_id_of(OutboxMessage.objects.get(type="orders.order_placed").traceparent)
        assert first == f"Order {order.number} {order.pk} (536365): awaiting_payment, 45.00 GBP, trace {trace_id}"
        assert not any("\x1b" in line for line in lines)
        [line] = [line for line in lines if "payments.take_payment" in line]
        assert line.startswith(f"{'':40}payments.take_payment: pending due ")
        assert line.endswith("very dead.")

    def test_prints_a_dead_letter_in_red_on_a_terminal(self, drain, monkeypatch):
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.delenv("NO_COLOR", raising=False)
        order = place_order()
        drain()
        Delivery.objects.filter(key=str(order.pk), subscriber="notifications.send_confirmation").update(
            status="dead", delivered_at=None
        )

        output = run("trace_order", str(order.pk), out=Terminal())

        assert "notifications.send_confirmation: \x1b[1;31mdead\x1b[0m" in output

    @pytest.mark.parametrize("key", ["536365", "0d5fd0f4-4c3b-4b5e-9a53-0b6f0ad6a4b7"])
    def test_finds_an_order_by_its_idempotency_key(self, key):
        order = place_order(idempotency_key=key)

        assert run_json("trace_order", key)["order"] == str(order.pk)

    def test_names_the_orders_that_share_a_key(self):
        customers = [CustomerFactory(username=name).pk for name in ("ada", "bob")]
        adas, bobs = [place_order(idempotency_key="once", customer_id=customer).number for customer in customers]

        with pytest.raises(CommandError) as several:
            run("trace_order", "once")

        first, *lines = str(several.value).splitlines()
        assert first == "2 orders match 'once'; trace one of them:"
        assert [line.split()[0] for line in lines] == [bobs, adas]

    @pytest.mark.parametrize("reference", ["ada@example.com", "ADA@EXAMPLE.COM", "ada@", "+44 113 496 0000", "{0:.13}"])
    def test_finds_an_order_by_address_phone_or_the_beginning_of_its_id(self, reference):
        order = place_order(phone="+441134960000")

        assert run_json("trace_order", reference.format(str(order.pk)))["order"] == str(order.pk)

    def test_lists_the_orders_of_an_address(self):
        orders = [place_order() for _ in range(12)]

        with pytest.raises(CommandError) as several:
            run("trace_order", "ada@example.com")

        first, *lines, last = str(several.value).splitlines()
        assert first == "12 orders match 'ada@example.com'; trace one of them:"
        assert [line.split()[0] for line in lines] == [order.number for order in reversed(orders)][:10]
        assert lines[0].endswith("placed            45.00 GBP")
        assert last == "and 2 more"

    @pytest.mark.parametrize("reference", ["C536365", "\0", ""])
    def test_rejects_an_unknown_order(self, reference):
        with pytest.raises(CommandError, match="No order has the number, id, idempotency key, e-mail address or phone"):
            run("trace_order", reference)

    def test_prints_what_operators_did(self, admin_client):
        order = place_order()
        admin_client.post(f"/admin/orders/order/{order.pk}/do/note/", {"text": "Rang: she wants it blue."})
        admin_client.post(f"/admin/orders/order/{order.pk}/do/cancel/", {"reason": "There is no blue."})

        assert what(trace(order), "operators") == [
            "admin noted: Rang: she wants it blue.",
            "admin: Cancelled. Reason: There is no blue.",
        ]
