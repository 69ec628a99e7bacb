"""
A shop that breaks itself on purpose: an operator finds and repairs each fault, from the admin only, and from the shell
only. Every click after the login is counted.
"""

import re

import pytest

from shop.faults import MAIL_REJECTED, REFUND_REFUSED, WEBHOOK_LOST
from tests.browser.broken_shop import BrokenShop
from tests.browser.demo_shop import OPERATOR
from tests.tutorials import blocks_of, run_blocks
from tests.waiting import eventually

pytestmark = pytest.mark.browser

HOME = "/admin/"
REPLAYED = "Delivered: 3."


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder of the database: the shop is broken again with each start, which is faster with the same one."""
    return tmp_path_factory.mktemp("broken")


@pytest.fixture
def shop(folder):
    (folder / "output.txt").unlink(missing_ok=True)
    with BrokenShop(folder) as shop:
        yield shop


@pytest.fixture
def operator(shop):
    """Open a browser with the home page of the admin."""
    from tests.browser.browser import Browser

    with Browser(shop.address) as browser:
        browser.log_in(**OPERATOR)
        browser.clicks_from(HOME)
        yield browser


class TestFromTheAdmin:
    def test_each_fault_is_found_and_repaired(self, operator):
        operator.reload_until("Workers that are silent")
        for problem in ("send_confirmation: TemplateBroken", "Refunds that the gateway rejected", "that failed"):
            assert problem in operator.text

        self.replays_a_group(operator)
        self.ends_the_silent_worker(operator)
        self.sends_the_mail_again(operator)
        self.refunds_again(operator)
        self.asks_the_gateway(operator)

        operator.open(HOME)
        operator.reload_until("Workers that run: 2.")
        for problem in ("Dead letters of", "rejected", "that failed", "silent"):
            assert problem not in operator.text

    def replays_a_group(self, operator):
        operator.press("3 Dead letters of notifications.send_confirmation")
        assert "ends within a block" in operator.text
        operator.press("Replay…")
        operator.press("Replay 3 dead letters")
        operator.wait_for_text("Nothing is waiting any more.")
        assert operator.clicks_from(HOME) <= 4

    def ends_the_silent_worker(self, operator):
        operator.press("1 Workers that are silent")
        operator.press("End…")
        operator.press("End worker")
        assert operator.clicks_from(HOME) <= 3

    def sends_the_mail_again(self, operator):
        operator.press("1 Messages of the last day that failed")
        assert MAIL_REJECTED in operator.text
        operator.press_link_of("order")
        operator.press("Send a message again")
        operator.press("Send a message again")
        operator.wait_for_text("Queued again: email order_")
        assert operator.clicks_from(HOME) <= 4

    def refunds_again(self, operator):
        operator.press("1 Refunds that the gateway rejected")
        operator.press_link_of("order")
        assert REFUND_REFUSED in operator.text
        operator.press("Refund")
        operator.press("Refund")
        operator.reload_until("succeeded")
        assert operator.clicks_from(HOME) <= 4

    def asks_the_gateway(self, operator):
        operator.fill("Find an order:", WEBHOOK_LOST[:8].upper())
        operator.press("Find")
        operator.press_link_of("number")
        assert (operator.clicks, WEBHOOK_LOST in operator.text) == (2, True)
        operator.press("Ask the gateway now")
        operator.press("Ask the gateway now")
        operator.reload_until("confirmed")


class TestFromTheShell:
    def test_each_fault_is_found_and_repaired_by_the_commands_of_the_tutorial(self, shop, tmp_path):
        [worker] = re.findall(r"end_worker (\d+)", eventually_silent(shop))
        orders = {email: newest_order(shop, email) for email in (MAIL_REJECTED, REFUND_REFUSED, WEBHOOK_LOST)}
        start, commands = blocks_of("tutorial/repair-a-shop.md")
        assert start == "make run FAULTS=1"

        outcome = run_blocks([commands], {"end_worker 1": f"end_worker {worker}", **orders}, tmp_path, **shop.variables)

        [output] = outcome.outputs
        assert "notifications.send_confirmation has 3 dead letters" in output
        assert "TemplateBroken" in output
        assert REPLAYED in output
        assert "Queued again: email" in output
        assert "Refunded" in output
        assert "the payment is succeeded" in output
        assert [command for command in outcome.failed if "outbox_status" not in command] == []
        eventually(lambda: is_sound(shop, orders[REFUND_REFUSED], orders[WEBHOOK_LOST]), every=2)


def eventually_silent(shop):
    """Return what `outbox_status` prints once it calls a worker silent."""
    outputs = []
    eventually(lambda: outputs.append(shop.run("outbox_status").output) or "is silent" in outputs[-1], every=1)
    return outputs[-1]


def newest_order(shop, email):
    """Return the number of this customer's newest order, which `trace_order` prints or lists first."""
    trace = shop.run("trace_order", email)
    return re.search(r"[0-9A-Z]{4}-[0-9A-Z]{4}", trace.output + trace.errors)[0]


def is_sound(shop, refunded, confirmed):
    """Return whether two workers run, nothing needs attention, and these orders have ended as they should."""
    status = shop.run("outbox_status")
    ends = [
        f": {end}," in shop.run("trace_order", number).output
        for number, end in [(refunded, "refunded"), (confirmed, "confirmed")]
    ]
    return status.status == 0 and "Workers that run: 2." in status.output and all(ends)
