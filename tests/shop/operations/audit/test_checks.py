"""
Each check alone is violated by its mutants, and allows for deliveries in progress.
"""

from datetime import timedelta

import pytest
from django.utils import timezone

from inventory.models import Reservation
from messaging.models import Attempt, Delivery, OperatorPause, OutboxMessage
from messaging.subscribers import all_subscribers
from notifications.models import Notification
from orders.models import HistoryEntry
from payments.models import PaymentIntent
from shop.operations import audit
from shop.operations.audit.messages import EFFECTS_OF
from shop.operations.audit.orders import ENDING
from tests.factories import place_order
from tests.shop.operations.audit.day import HOUR, violated
from tests.shop.operations.audit.mutants import MUTANTS, make_overdue


@pytest.mark.django_db
class TestEachCheck:
    def test_is_not_violated_without_a_mutant(self, day):
        assert violated() == []

    @pytest.mark.parametrize(
        ("check", "mutant"), [pytest.param(*pair, id=f"{pair[0]}-{pair[1].__name__}") for pair in MUTANTS]
    )
    def test_alone_detects_its_mutant(self, day, check, mutant):
        mutant(day)

        assert violated() == [check]

    def test_allows_a_backlog_that_makes_progress(self, day):
        make_overdue(day.bob, "payments.take_payment", timedelta(minutes=10))

        assert violated() == []

    def test_allows_a_backlog_during_an_outage_that_is_retried(self, day):
        make_overdue(day.bob, "payments.take_payment", timedelta(minutes=10))
        Delivery.objects.filter(delivered_at__isnull=False).update(delivered_at=timezone.now() - timedelta(hours=1))
        assert violated() == ["M4"]

        Attempt.objects.create(
            delivery=Delivery.objects.filter(subscriber="payments.take_payment").first(),
            number=1,
            failed_at=timezone.now(),
            error_class="Unavailable",
            error="Connection refused.",
            traceback="",
        )

        assert violated() == []

    def test_allows_what_waits_because_an_operator_has_paused_its_subscriber(self, day):
        make_overdue(day.bob, "payments.take_payment", 2 * HOUR)
        assert violated() == ["M4"]

        pause = {"reason": "a new key", "paused_by": "olga", "paused_at": timezone.now()}
        OperatorPause.objects.create(subscriber="payments.take_payment", **pause)

        assert violated() == []

    def test_allows_a_late_order_while_its_reservation_is_a_dead_letter(self, day):
        order = place_order()
        HistoryEntry.objects.filter(order=order).update(at=timezone.now() - 3 * HOUR)
        reserving = Delivery.objects.filter(key=str(order.pk), subscriber="inventory.reserve_stock")

        reserving.update(status="dead")
        assert violated() == []

        reserving.dead().discard()
        assert violated() == ["O10"]

    def test_allows_pruned_messages(self, day):
        month_ago = timezone.now() - timedelta(days=31)
        HistoryEntry.objects.filter(order=day.bob).update(at=month_ago)
        Reservation.objects.filter(order_id=day.bob.pk).update(created_at=month_ago, ended_at=month_ago)
        PaymentIntent.objects.filter(order_id=day.bob.pk).update(created_at=month_ago)
        Notification.objects.filter(order_id=day.bob.pk).update(created_at=month_ago)
        OutboxMessage.objects.filter(key=str(day.bob.pk)).delete()

        assert violated() == []

    def test_has_a_mutant(self):
        assert {check for check, _ in MUTANTS} == {check.id for check in audit.CHECKS}

    def test_names_only_subscribers_that_exist(self):
        assert {*EFFECTS_OF, *ENDING} <= all_subscribers().keys()
