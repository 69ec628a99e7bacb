"""
The records of calls to the gateway: an order's timeline and the metrics show them.
"""

from datetime import timedelta

import pytest
from django.utils import timezone
from django_q.models import Schedule

from messaging.kernel.ids import lowest_id
from payments.gateway import calls
from payments.gateway.protocol import TimedOut, Undecided, Unreachable
from payments.models import GatewayCall
from shop.monitoring.metrics import render_metrics
from tests.commands import run
from tests.factories import make_stock, place_order
from tests.outbox import counting_statements
from tests.shop.monitoring.test_metrics import every_sample

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _stock() -> None:
    make_stock(100)


def recorded() -> list[tuple[str, str]]:
    return list(GatewayCall.objects.order_by("pk").values_list("name", "outcome"))


class TestRecords:
    def test_tell_what_was_asked_and_answered_in_the_timeline(self, drain):
        order = place_order()
        began = timezone.now()
        drain()

        call = GatewayCall.objects.get()
        assert (call.order_id, call.name, call.outcome) == (order.pk, "charge", "succeeded")
        assert began <= call.started_at <= timezone.now()
        assert f"gateway, charge: succeeded after {call.milliseconds} ms" in run("trace_order", order.number)

    @pytest.mark.parametrize(
        ("error", "outcome"), [(TimedOut, "timed out"), (Unreachable, "unreachable"), (Undecided, "undecided")]
    )
    def test_tell_why_there_was_no_answer(self, error, outcome):
        def charge(_: object) -> None:
            raise error("No answer.")

        order = place_order()
        calls.call_all(charge, [order], key=lambda _: "", order_id=lambda each: each.pk)

        assert recorded() == [("charge", outcome)]

    def test_cost_a_set_of_calls_the_same_as_one(self, drain):
        numbers = []
        for orders in (1, 20):
            for _ in range(orders):
                place_order()
            with counting_statements() as statements:
                drain()
            inserts = [each for each in statements.captured_queries if "payments_gatewaycall" in each["sql"]]
            numbers.append(len(inserts))

        assert len(recorded()) == 21
        assert numbers[0] <= 1  # COPY is not counted
        assert numbers[1] == numbers[0]

    def test_are_in_the_metrics(self, drain):
        place_order()
        place_order(payment_method="tok_declined")
        drain()

        samples = every_sample(render_metrics(timezone.now()).decode())
        counts = samples["shop_gateway_call_seconds_gcount"]
        assert counts == {("charge", "succeeded"): 1, ("charge", "declined"): 1}

    def test_are_pruned_every_day_after_the_retention_time(self, drain):
        place_order()
        drain()
        old = GatewayCall.objects.get()
        GatewayCall.objects.update(id=lowest_id(timezone.now() - timedelta(days=31)))
        place_order()
        drain()
        schedule = Schedule.objects.get(name="Prune calls of the gateway")
        assert (schedule.func, schedule.schedule_type) == ("payments.gateway.calls.prune", Schedule.DAILY)

        calls.prune()

        assert GatewayCall.objects.get().order_id != old.order_id
