from uuid import UUID

import pytest
from django.contrib.auth.models import Permission
from django.urls import get_resolver

from tests.factories import api_of, make_customer, make_product, place_order
from tests.refusals import refused

pytestmark = pytest.mark.django_db

API = "/api/v1/"
LISTS = {
    "products": {"search": "chair", "sold_out": "true"},
    "orders": {"status": "placed", "placed_after": "2020-01-01T00:00:00Z", "placed_before": "2099-01-01T00:00:00Z"},
    "stock": {"sku_prefix": "RED", "sold_out": "false"},
    "payments": {"order_id": str(UUID(int=7)), "status": "succeeded"},
    "notifications": {"order_id": str(UUID(int=7)), "kind": "order_confirmed", "status": "accepted"},
    "tokens": {},
    "signing-keys": {},
}


@pytest.fixture
def api():
    """
    A program that may see every list.
    """
    ada = make_customer(is_staff=True)
    ada.user_permissions.add(Permission.objects.get(codename="view_stockitem"))
    make_product()
    return api_of("ada")


def test_knows_every_list_of_the_api():
    lists = {name.split(":")[-1].removesuffix("-list") for name in _names(get_resolver()) if name.endswith("-list")}

    assert lists == {name.rstrip("s") for name in LISTS}


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize(
    "stranger", ["staus", "Status", "page", "limit", "ordering", "id", "customer_id", "", "status[]"]
)
def test_refuses_what_nobody_reads(api, name, stranger):
    problem = refused(api, "GET", f"{API}{name}/?{stranger}=confirmed")

    assert [(fault["code"], fault["parameter"]) for fault in problem["errors"]] == [("invalid_parameter", stranger)]


@pytest.mark.parametrize("name", LISTS)
def test_refuses_a_parameter_that_stands_twice(api, name):
    problem = refused(api, "GET", f"{API}{name}/?format=json&format=json")

    assert [(fault["code"], fault["parameter"]) for fault in problem["errors"]] == [("invalid_parameter", "format")]


@pytest.mark.parametrize("name", LISTS)
def test_names_all_that_is_wrong(api, name):
    problem = refused(api, "GET", f"{API}{name}/?page=1&page_size=2")

    assert [fault["parameter"] for fault in problem["errors"]] == ["page", "page_size"]


@pytest.mark.parametrize(("name", "parameters"), LISTS.items())
def test_lets_pass_what_is_read(api, name, parameters):
    answer = api.get(f"{API}{name}/", parameters | {"format": "json"})

    assert answer.status_code == 200


def test_tells_what_may_be_asked_for(api):
    problem = refused(api, "GET", f"{API}orders/?staus=placed")

    assert problem["detail"] == "Unknown parameter. Known parameters: cursor, placed_after, placed_before, status."


def test_filters_no_single_thing(api):
    order = place_order()

    assert api.get(f"{API}orders/{order.pk}/?status=confirmed").status_code == 200


def _names(resolver):
    for pattern in resolver.url_patterns:
        if hasattr(pattern, "url_patterns"):
            yield from _names(pattern)
        elif pattern.name:
            yield pattern.name
