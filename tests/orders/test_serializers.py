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
    def test_equals_the_representation_by_its_fields(self):
        make_stock(sku="OAK-TABLE")
        make_stock()
        order = place_order({"RED-CHAIR": 2, "OAK-TABLE": 1}, phone="+441134960000", note="Ring twice")
        services.cancel_order(str(order.pk), reason="by_customer", now=timezone.now())
        order = Order.objects.with_parts().get()

        output = OrderOutput(order, context={"request": RequestFactory().get("/")})

        assert list(output.data.items()) == list(ModelSerializer.to_representation(output, order).items())
