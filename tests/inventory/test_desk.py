"""What the home page of the admin shows of stock."""

import pytest

from inventory.models import RUNNING_OUT
from tests.factories import make_stock
from tests.operators import concerns_of, figures_of, listed_at

pytestmark = pytest.mark.django_db

TITLE = "Products about to run out"


def test_products_about_to_run_out_are_listed_with_what_is_left(admin_client):
    make_stock(RUNNING_OUT + 1)
    make_stock(RUNNING_OUT, sku="MUG")
    make_stock(1, sku="LAMP/1")
    make_stock(0, sku="SOFA")

    concern = concerns_of(admin_client)[TITLE]
    bars = [bar for bar, _ in figures_of(admin_client)["Stock about to run out"].bars]

    assert concern.count == 2
    assert listed_at(admin_client, concern.url) == {"MUG", "LAMP/1"}
    assert [(bar.name, bar.value) for bar in bars] == [("LAMP/1", 1), ("MUG", RUNNING_OUT)]
    assert [admin_client.get(bar.url).status_code for bar in bars] == [200, 200]


def test_products_that_are_sold_out_are_found_in_the_list(admin_client):
    make_stock(2)
    make_stock(0, sku="SOFA")

    assert listed_at(admin_client, "/admin/inventory/stockitem/?available=none") == {"SOFA"}
    assert TITLE in concerns_of(admin_client)


def test_no_product_needs_a_person_while_there_is_enough(admin_client):
    make_stock(RUNNING_OUT + 1)

    assert TITLE not in concerns_of(admin_client)
    assert figures_of(admin_client)["Stock about to run out"].bars == []
