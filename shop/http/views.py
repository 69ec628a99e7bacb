"""
The base of every view of the API: what a view declares beyond Django REST framework. Declarations are checked when the
class is defined, so that a misspelled one fails at import.
"""

from collections.abc import Iterator, Mapping, Sequence
from inspect import get_annotations
from re import Pattern
from typing import Any, ClassVar

from django.contrib.auth.models import User
from django.utils.translation import get_language
from django_filters.rest_framework import FilterSet
from rest_framework.exceptions import NotAuthenticated
from rest_framework.renderers import BaseRenderer, BrowsableAPIRenderer
from rest_framework.request import Request
from rest_framework.views import APIView
from rest_framework.viewsets import ViewSetMixin

from shop.http.error_codes import CATALOGUE

STANDARD_ACTIONS = {"list", "create", "retrieve", "update", "partial_update", "destroy"}


class ShopView(APIView):
    """
    Declarations by operation are keyed by the action of a viewset, or by the method of a plain view in lower case.
    """

    pages: ClassVar[Mapping[str, str]] = {}
    """Templates of the HTML pages, by operation. Without one, a generic page shows the response."""
    error_links: ClassVar[Mapping[str, str]] = {}
    """Templates of the links that an error page offers, by operation."""
    error_codes: ClassVar[Mapping[str, Sequence[str]]] = {}
    """The error codes of the services called, by operation, for the OpenAPI document."""
    headers_read: ClassVar[Mapping[str, Sequence[str]]] = {}
    """Request headers that the view reads, by operation."""
    headers_sent: ClassVar[Mapping[str, Sequence[str]]] = {}
    """Headers of a successful response, by operation."""
    extra_parameters: ClassVar[Pattern[str] | None] = None
    """Names of query parameters allowed beyond those of the filters."""
    ordering: ClassVar[str] = "-id"
    """The unique field by which lists are ordered and paginated."""
    is_deleted_from_list: ClassVar[bool] = False
    """Whether the page of the list has a delete button per row."""

    filterset_class: ClassVar[type[FilterSet]]
    filterset_fields: ClassVar[Sequence[str]]
    lookup_value_regex: ClassVar[str]

    renderer: BaseRenderer | None = None
    """The renderer chosen by content negotiation; none before, or when it failed."""

    def __init_subclass__(cls, **options: Any) -> None:
        """
        Check what the class declares.

        :raises TypeError: if an attribute, an operation or an error code is unknown.
        """
        super().__init_subclass__(**options)
        for problem in _declaration_problems(cls):
            raise TypeError(f"{cls.__module__}.{cls.__name__}: {problem}")

    @property
    def operation(self) -> str:
        """
        The operation of the current request; empty if the view has none for its method.
        """
        return self.operation_of(self.request.method or "")

    def operation_of(self, method: str) -> str:
        """
        Return the operation that this method performs; empty if the view has none.
        """
        name = method.lower()
        if isinstance(self, ViewSetMixin):
            return self.action_map.get(name, "")
        return "get" if name == "head" else name

    def perform_content_negotiation(self, request: Request, force: bool = False) -> tuple[BaseRenderer, str]:  # noqa: FBT001, FBT002
        self.renderer, media_type = super().perform_content_negotiation(request, force)
        return self.renderer, media_type

    @property
    def renders_page(self) -> bool:
        """
        Whether the response is an HTML page of the shop.
        """
        return isinstance(self.renderer, BrowsableAPIRenderer)


def user_of(request: Request) -> User:
    """
    Return the authenticated user of a request.

    :raises NotAuthenticated: if the request has none.
    """
    if isinstance(request.user, User):
        return request.user
    raise NotAuthenticated


def language_of(user: User) -> str:
    """
    Return the language in which a user wants messages: that of the account, or else that of the current request.
    """
    return account_language(user) or get_language() or ""


def account_language(user: User) -> str:
    """
    Return the language of a user's account; empty if the user has not chosen one, or has no account.
    """
    account = getattr(user, "account", None)
    return str(account.language) if account else ""


def _declaration_problems(view: type[ShopView]) -> Iterator[str]:
    inherited = {name for base in view.__mro__[1:] for name in (*vars(base), *get_annotations(base))}
    for name, value in vars(view).items():
        if not (name.startswith("_") or name in inherited or _is_code(value)):
            yield f"unknown attribute {name!r}"
    operations = set(_operations(view))
    for by_operation in (view.pages, view.error_links, view.error_codes, view.headers_read, view.headers_sent):
        for name in by_operation.keys() - operations:
            yield f"unknown operation {name!r}"
    for code in {code for codes in view.error_codes.values() for code in codes} - CATALOGUE.keys():
        yield f"unknown error code {code!r}"


def _is_code(value: object) -> bool:
    return callable(value) or isinstance(value, property | classmethod | staticmethod)


def _operations(view: type[ShopView]) -> Iterator[str]:
    defined = {name for base in view.__mro__ for name in vars(base)}
    if issubclass(view, ViewSetMixin):
        yield from STANDARD_ACTIONS & defined
        yield from (action.__name__ for action in view.get_extra_actions())
    else:
        yield from defined.intersection(view.http_method_names)
