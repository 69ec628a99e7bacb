import pytest
from django.test import RequestFactory
from django.utils import timezone
from rest_framework.serializers import ModelSerializer

from orders import services
from orders.models import Order
from orders.serializers import OrderOutput
from tests.factories import make_stock, place_order

pytestmark = pytest.mark.django_db


class TestOrderOutput:
    def test_writes_what_its_fields_say(self):
        make_stock(sku="OAK-TABLE")
        make_stock()
        placed = place_order({"RED-CHAIR": 2, "OAK-TABLE": 1}, phone="+441134960000", note="Ring twice")
        services.cancel_order(str(placed.pk), reason="by_customer", now=timezone.now())
        order = Order.objects.whole().get()

        shown = OrderOutput(order, context={"request": RequestFactory().get("/")})

        assert list(shown.data.items()) == list(ModelSerializer.to_representation(shown, order).items())
