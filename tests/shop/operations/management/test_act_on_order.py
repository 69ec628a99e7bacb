"""What operators do with an order from the shell: the same as on its page in the admin."""

import pytest
from django.contrib.admin.models import LogEntry
from django.core.management import CommandError

from messaging.models import OutboxMessage
from notifications.models import Notification
from orders.models import Order, OrderNote
from payments.models import Refund
from tests.commands import run
from tests.factories import make_stock, place_order

pytestmark = pytest.mark.django_db


@pytest.fixture
def order(drain, ledger) -> Order:
    make_stock()
    order = place_order()
    drain()
    order.refresh_from_db()
    return order


def test_refunds_part_and_names_who_did_it_and_why(order, drain):
    output = run("act_on_order", order.number, "refund", "amount=12.50", "reason=One chair was scratched.")

    drain()
    assert output.endswith(f"{order}: Refunded 12.50 GBP.\n")
    assert (Refund.objects.get().amount, Refund.objects.get().reason) == (1250, "One chair was scratched.")
    entry = LogEntry.objects.get()
    assert (entry.object_id, entry.user.username) == (str(order.pk), "(shell)")
    assert entry.change_message.endswith("(shell): Refunded 12.50 GBP. Reason: One chair was scratched.")
    assert "One chair was scratched." in run("trace_order", order.number)


def test_sends_the_newest_message_again_if_none_is_named(order, drain):
    run("act_on_order", order.number, "send-again")
    drain()

    newest = Notification.objects.latest("pk")
    resent = OutboxMessage.objects.filter(type="notifications.email_queued", key=str(newest.pk))
    assert resent.count() == 2


def test_says_what_it_means_without_doing_it(order):
    output = run("act_on_order", order.number, "note", "text=She called.", "--dry-run")

    assert output.startswith("The note is shown to operators")
    assert not OrderNote.objects.exists()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["cancel"], "this order is already confirmed"),
        (["ask-gateway"], r"This order has no open payment: there is nothing to ask\."),
        (["refund", "amount=1000"], "Refund between"),
        (["refund", "amount=1,000"], r"amount: write it like 12\.50"),
        (["refund", "sum=1"], r"There is no field 'sum'\. Choose from: amount, reason\."),
        (["note"], r"text: This field is required\. Nothing was changed\."),
        (["note", "hello"], "'hello' is not of the form FIELD=VALUE"),
    ],
)
def test_changes_nothing_that_is_not_possible(order, arguments, problem):
    with pytest.raises(CommandError, match=problem):
        run("act_on_order", order.number, *arguments)

    assert not LogEntry.objects.exists()


@pytest.mark.parametrize(
    ("order_number", "problem"), [("0000-0000", "No order matches"), ("RED-CHAIR", "Several orders")]
)
def test_needs_one_order(order, drain, order_number, problem):
    place_order()

    with pytest.raises(CommandError, match=problem):
        run("act_on_order", order_number, "cancel")
