from collections.abc import Iterator
from typing import Any

import pytest
from django.template.loader import get_template
from django.urls import URLPattern, get_resolver
from rest_framework import viewsets
from rest_framework.decorators import action

from shop.http.views import ShopView


def views_of_the_api(patterns: list[Any]) -> Iterator[type]:
    for pattern in patterns:
        if not isinstance(pattern, URLPattern):
            yield from views_of_the_api(pattern.url_patterns)
        elif view := getattr(pattern.callback, "cls", None):
            yield view


VIEWS = sorted(set(views_of_the_api(get_resolver().url_patterns)), key=str)


class TestShopView:
    @pytest.mark.parametrize(
        ("declaration", "problem"),
        [
            ({"page": {"get": "orders/quote.html"}}, "unknown attribute 'page'"),
            ({"problems": ("unavailable",)}, "unknown attribute 'problems'"),
            ({"pages": {"list": "orders/quote.html"}}, "unknown operation 'list'"),
            ({"error_links": {"post": "orders/quote.html"}}, "unknown operation 'post'"),
            ({"error_codes": {"get": ("unavailable", "not_there")}}, "unknown error code 'not_there'"),
            ({"headers_read": {"put": ("Prefer",)}}, "unknown operation 'put'"),
            ({"headers_sent": {"put": ("ETag",)}}, "unknown operation 'put'"),
        ],
    )
    def test_rejects_a_declaration_when_the_class_is_defined(self, declaration, problem):
        with pytest.raises(TypeError, match=f"Basket: {problem}"):
            type("Basket", (ShopView,), declaration | {"get": lambda self, request: None})

    @pytest.mark.parametrize("operation", ["retrieve", "get", "shop", "get_queryset"])
    def test_rejects_an_operation_that_a_viewset_does_not_have(self, operation):
        with pytest.raises(TypeError, match=f"unknown operation '{operation}'"):

            class Baskets(ShopView, viewsets.GenericViewSet):
                error_codes = {operation: ("unavailable",)}

                def list(self, request): ...

    def test_takes_actions_of_its_own(self):
        class Baskets(ShopView, viewsets.ReadOnlyModelViewSet):
            error_codes = {"list": ("unavailable",), "retrieve": ("not_found",), "empty": ("invalid_state",)}

            @action(detail=True, methods=["post"])
            def empty(self, request, pk): ...

        assert Baskets.error_codes["empty"] == ("invalid_state",)


@pytest.mark.parametrize("view", VIEWS)
def test_each_view_of_the_api_is_one(view):
    assert issubclass(view, ShopView)


@pytest.mark.parametrize("view", VIEWS)
def test_each_view_names_templates_that_exist(view):
    for template in (*view.pages.values(), *view.error_links.values()):
        assert get_template(template)
