"""The oracle finds what is lost, late or different in the databases of four services."""

from collections.abc import Iterator

import pytest
from django.utils import timezone

from orders.models import Order
from shop.operations import audit
from shop.settings.groups import CONTEXTS
from tests.database import delete_rows
from tests.shop.operations.audit.day import Day, live_a_day
from tests.shop.operations.services import CONFIRMED, Services, divided
from tests.split import databases

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def day() -> Day:
    return live_a_day()


@pytest.fixture
def services(day, tmp_path) -> Iterator[Services]:
    """The databases that four services have after the day, as aliases."""
    with divided(tmp_path, *((context,) for context in CONTEXTS)) as services, databases.connected(services.databases):
        yield services


def test_nothing_is_lost_or_late(services):
    assert databases.received() > 0
    assert (databases.in_transit(), databases.received_out_of_order()) == (0, 0)


def test_an_event_is_lost(services, day):
    services.lose("inventory", CONFIRMED, day.bob)

    assert databases.in_transit() == 1


def test_an_event_is_overtaken(services, day):
    placed = services.id_of("orders.order_placed", day.bob)
    services.execute("notifications", "UPDATE messaging_delivery SET id = id + 1000 WHERE message_id = %s", placed)

    assert databases.received_out_of_order() == 1


def test_a_payment_is_stuck(services, day):
    before = databases.stuck()
    services.execute("payments", "UPDATE payments_paymentintent SET status = 'unknown' WHERE order_id = %s", day.bob.pk)

    assert databases.stuck() == before + 1


def test_the_copy_has_the_rows_of_all_services(services, day):
    delete_rows()
    services.hold_again(day.bob)

    databases.copy_into_one()

    assert Order.objects.count() == 5
    # M2: reminders are sent to other services later, where one program would have their deliveries already.
    assert audit.run(now=timezone.now()).violated == ["O3", "M2"]
