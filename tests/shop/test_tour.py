from dataclasses import replace

import pytest
from django.conf import settings as shop_settings

from orders.models import Order
from shop.scenes import SCENES
from tests.factories import CustomerFactory, make_stock

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _demo(settings, drain):
    settings.SHOP = replace(settings.SHOP, demo=True)
    CustomerFactory()
    make_stock(100)
    drain()


def text_of(response) -> str:
    return response.content.decode()


class TestTour:
    def test_begins_on_the_landing_page_of_the_demo(self, client):
        page = text_of(client.get("/"))

        assert [name for name in SCENES if f'action="/tour/{name}/"' not in page] == []

    def test_follows_an_order_over_all_contexts_until_its_mail(self, client, drain):
        placed = client.post("/tour/order/")
        order = Order.objects.get()
        begun = text_of(client.get(placed.url))
        drain()
        ended = text_of(client.get(placed.url))

        assert (placed.status_code, placed.url) == (302, f"/tour/orders/{order.number}/")
        assert "data-live" in begun
        assert 'class="state confirmed"' in ended
        for context in ("orders", "inventory", "payments", "notifications"):
            assert f'<li class="{context}">' in ended

    def test_cancels_the_order_that_is_paid_late(self, client):
        page = client.post("/tour/late/").url

        assert f'action="{page}cancel/"' in text_of(client.get(page))
        assert client.post(f"{page}cancel/").url == page
        assert Order.objects.get().cancel_reason == "by_customer"
        assert f'action="{page}cancel/"' not in text_of(client.get(page))

    def test_says_that_too_many_orders_are_open(self, client, settings):
        settings.ORDERS = replace(settings.ORDERS, max_open_orders=1)
        client.post("/tour/order/")

        response = client.post("/tour/order/", headers={"Accept": "text/html"})

        assert response.status_code == 409
        assert "1 order is still open" in text_of(response)

    def test_has_no_other_scenes_and_no_other_orders(self, client):
        assert client.post("/tour/nothing/").status_code == 404
        assert client.get("/tour/orders/AAAA-AAAA/").status_code == 404

    def test_is_missing_outside_the_demo(self, client, settings):
        settings.SHOP = replace(shop_settings.SHOP, demo=False)

        assert client.post("/tour/order/").status_code == 404
        assert "/tour/" not in text_of(client.get("/"))
        assert not Order.objects.exists()
