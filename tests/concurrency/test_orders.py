from functools import partial
from threading import Event
from typing import Any

import pytest
from django.utils import timezone

from messaging.kernel import order_numbers
from messaging.kernel.databases import Busy
from messaging.models import OutboxMessage
from orders import placing, services
from orders.drafts import Draft
from orders.models import Order, Product, StoredResponse
from orders.placing import IdempotencyKeyReused, PlacedOrder
from tests.factories import BASE_URL, api_of, make_draft, make_stock
from tests.outbox import counting_statements
from tests.threads import at_once

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _offered():
    make_stock()
    OutboxMessage.objects.all().delete()


def place(draft: Draft) -> PlacedOrder:
    return placing.place_order(draft, now=timezone.now(), base_url=BASE_URL)


def test_twenty_equal_requests_place_one_order():
    draft = make_draft(idempotency_key="basket-1")

    answers = at_once(*[partial(place, draft)] * 20)

    order = Order.objects.get()
    placed = [answer for answer in answers if isinstance(answer, PlacedOrder)]
    assert {type(answer) for answer in answers} <= {PlacedOrder, Busy}
    assert sum(one.is_new for one in placed) == 1
    assert {one.order for one in placed} == {order}
    assert {one.response_body for one in placed} == {StoredResponse.objects.get().body}
    assert (order.lines.count(), order.history.count(), OutboxMessage.objects.count()) == (1, 1, 1)


def test_two_orders_with_one_number_at_once_get_two(monkeypatch):
    bits = iter([1, 1, *range(2, 20)])
    monkeypatch.setattr(order_numbers, "randbits", lambda _: next(bits))

    placed = at_once(*[partial(place, make_draft(idempotency_key=key)) for key in ("basket-1", "basket-2")])

    assert sorted(result.order.number for result in placed) == ["1000-000M", "2000-000D"]
    assert Order.objects.count() == StoredResponse.objects.count() == OutboxMessage.objects.count() == 2


def test_of_two_different_requests_with_one_key_one_is_refused():
    for basket in range(10):
        drafts = [make_draft({"RED-CHAIR": quantity}, idempotency_key=f"basket-{basket}") for quantity in (1, 2)]

        answers = at_once(*[partial(place, draft) for draft in drafts])

        assert {type(answer) for answer in answers} in ({PlacedOrder, IdempotencyKeyReused}, {PlacedOrder, Busy})
    assert Order.objects.count() == OutboxMessage.objects.count() == 10


def test_a_request_in_progress_is_not_started_again(monkeypatch):
    lines = [{"sku": "RED-CHAIR", "quantity": 1}]
    order = {"lines": lines, "payment_method": "tok_visa", "expected_total": 4_500, "email": "ada@example.com"}
    api, working, done = api_of("ada"), Event(), Event()

    def render_slowly(order: Order, *, url: str) -> bytes:
        working.set()
        done.wait(20)
        return b"{}"

    def repeat() -> Any:
        working.wait(20)
        repeated = api.post("/api/v1/orders/", order, format="json", headers={"Idempotency-Key": "basket-1"})
        done.set()
        return repeated

    monkeypatch.setattr(placing, "render_response", render_slowly)
    draft = make_draft(idempotency_key="basket-1", expected_total=4_500)
    first, repeated = at_once(partial(place, draft), repeat)

    assert first.is_new
    assert (repeated.status_code, repeated.json()["code"]) == (409, "request_in_progress")
    assert repeated.headers["Retry-After"] == "1"
    assert Order.objects.count() == 1


def test_two_sets_in_opposite_order_do_not_deadlock():
    drafts = [make_draft(idempotency_key=f"basket-{at}") for at in range(50)]

    there, back = at_once(
        partial(placing.place_orders, drafts, now=timezone.now()),
        partial(placing.place_orders, drafts[::-1], now=timezone.now()),
    )

    assert [placed.order for placed in there] == [placed.order for placed in back[::-1]]
    assert Order.objects.count() == OutboxMessage.objects.count() == 50


def test_idempotency_keys_are_inserted_in_one_order_whatever_the_order_of_the_drafts():
    drafts = [make_draft(idempotency_key=key) for key in ("basket-c", "basket-a", "basket-b")]

    with counting_statements() as statements:
        placing.place_orders(drafts, now=timezone.now())

    (insert,) = [each["sql"] for each in statements if 'INTO "orders_order" ' in each["sql"]]
    assert insert.index("basket-a") < insert.index("basket-b") < insert.index("basket-c")


def test_products_added_by_many_calls_are_added_and_published_once():
    chairs = [Product(sku=f"CHAIR-{number}", name="Chair", price=4_500) for number in range(50)]
    orderings = [chairs, list(reversed(chairs))] * 4

    answers = at_once(*[partial(services.add_products, products) for products in orderings])

    assert [answer for answer in answers if isinstance(answer, Exception)] == []
    assert sorted(product.sku for added in answers for product in added) == sorted(chair.sku for chair in chairs)
    assert Product.objects.exclude(sku="RED-CHAIR").count() == OutboxMessage.objects.count() == 50
