from functools import partial

import pytest

from messaging.models import OutboxMessage
from orders import services
from orders.models import Product
from tests.threads import at_once

pytestmark = pytest.mark.django_db(transaction=True)


def test_products_offered_by_many_at_once_are_offered_and_announced_once():
    chairs = [Product(sku=f"CHAIR-{number}", name="Chair", price=4_500) for number in range(50)]
    orderings = [chairs, list(reversed(chairs))] * 4

    answers = at_once(*[partial(services.add_products, products) for products in orderings])

    assert [answer for answer in answers if isinstance(answer, Exception)] == []
    assert sorted(product.sku for added in answers for product in added) == sorted(chair.sku for chair in chairs)
    assert Product.objects.count() == OutboxMessage.objects.count() == 50
