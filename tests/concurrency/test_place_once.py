from functools import partial

import pytest
from django.utils import timezone

from messaging.models import OutboxMessage
from orders import services
from orders.models import Order
from orders.services import IdempotencyKeyReused, Placement
from tests.concurrency.crowd import at_once
from tests.factories import make_draft, make_stock

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _offered():
    make_stock()
    OutboxMessage.objects.all().delete()


def test_twenty_equal_requests_place_one_order():
    draft = make_draft(idempotency_key="basket-1")

    placements = at_once(*[partial(services.place_order, draft, now=timezone.now())] * 20)

    order = Order.objects.get()
    assert sorted(placement.is_new for placement in placements) == [False] * 19 + [True]
    assert {placement.order for placement in placements} == {order}
    assert (order.lines.count(), order.history.count(), OutboxMessage.objects.count()) == (1, 1, 1)


def test_of_two_different_requests_with_one_key_one_is_refused():
    for basket in range(10):
        drafts = [make_draft({"RED-CHAIR": quantity}, idempotency_key=f"basket-{basket}") for quantity in (1, 2)]

        answers = at_once(*[partial(services.place_order, draft, now=timezone.now()) for draft in drafts])

        assert {type(answer) for answer in answers} == {Placement, IdempotencyKeyReused}
    assert Order.objects.count() == OutboxMessage.objects.count() == 10


def test_two_sets_in_opposite_order_do_not_deadlock():
    drafts = [make_draft(idempotency_key=f"basket-{at}") for at in range(50)]

    there, back = at_once(
        partial(services.place_orders, drafts, now=timezone.now()),
        partial(services.place_orders, drafts[::-1], now=timezone.now()),
    )

    assert [placement.order for placement in there] == [placement.order for placement in back[::-1]]
    assert Order.objects.count() == OutboxMessage.objects.count() == 50
