from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import Permission
from django.urls import get_resolver

from tests.factories import CustomerFactory, ProductFactory, api_of, place_order
from tests.refusals import refused

pytestmark = pytest.mark.django_db

API = "/api/v1/"
ORDER_ID = str(UUID(int=7))
LISTS = {
    "products": {"search": "chair", "sold_out": "true"},
    "orders": {"status": "placed", "placed_after": "2020-01-01T00:00:00Z", "placed_before": "2099-01-01T00:00:00Z"},
    "stock": {"sku_prefix": "RED", "sold_out": "false"},
    "payments": {"order_id": ORDER_ID, "status": "succeeded"},
    "notifications": {"order_id": ORDER_ID, "kind": "order_confirmed", "status": "accepted"},
    "tokens": {},
    "signing-keys": {},
}
UNKNOWN = ["staus", "Status", "page", "page_size", "limit", "ordering", "id", "customer_id", "", "status[]"]


@pytest.fixture
def api():
    """
    A client that may read every list.
    """
    ada = CustomerFactory(is_staff=True)
    ada.user_permissions.add(Permission.objects.get(codename="view_stockitem"))
    ProductFactory()
    return api_of("ada")


def test_every_list_of_the_api_is_tested():
    lists = {name.split(":")[-1].removesuffix("-list") for name in _names(get_resolver()) if name.endswith("-list")}

    assert lists == {name.rstrip("s") for name in LISTS}


class TestStrictFilters:
    @pytest.mark.parametrize("name", LISTS)
    def test_reject_each_unknown_or_repeated_parameter(self, api, name):
        query = "&".join(f"{parameter}=confirmed" for parameter in UNKNOWN)

        problem = refused(api, "GET", f"{API}{name}/?{query}&format=json&format=json")

        errors = [(error["code"], error["parameter"]) for error in problem["errors"]]
        assert errors == [("invalid_parameter", parameter) for parameter in [*UNKNOWN, "format"]]

    @pytest.mark.parametrize(("name", "parameters"), LISTS.items())
    def test_accept_the_known_parameters(self, api, name, parameters):
        answer = api.get(f"{API}{name}/", parameters | {"format": "json"})

        assert answer.status_code == 200

    def test_name_the_known_parameters(self, api):
        problem = refused(api, "GET", f"{API}orders/?staus=placed")

        known = "cursor, number, placed_after, placed_before, status"
        assert problem["detail"] == f"Unknown parameter. Known parameters: {known}."

    def test_ignore_the_query_of_a_single_resource(self, api):
        order = place_order()

        assert api.get(f"{API}orders/{order.pk}/?status=confirmed").status_code == 200


def _names(resolver: Any) -> Iterator[str]:
    for pattern in resolver.url_patterns:
        if hasattr(pattern, "url_patterns"):
            yield from _names(pattern)
        elif pattern.name:
            yield pattern.name
