"""
What these tests import of Selenium is not in requirements.txt, so nothing but a fixture may import it.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from urllib.parse import urlsplit

import pytest
from django.db import connection

from tests.browser.shopfront import LOGIN, Shopfront


@pytest.fixture(scope="session")
def address(tmp_path_factory, django_db_setup) -> Iterator[str]:
    """
    Open a shop on the tests' database, and tell where it is.
    """
    database = connection.settings_dict["NAME"]
    if connection.vendor == "postgresql":
        url = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{database}").geturl()
    else:
        url = f"sqlite:///{database}"
    with Shopfront(tmp_path_factory.mktemp("shop"), url) as shop:
        yield shop.address


@pytest.fixture
def visit(address) -> Iterator[Callable[..., object]]:
    """
    Let a visitor come; `visit(javascript=False)` lets one come whose browser runs no scripts.
    """
    from tests.browser.visitor import Visitor

    with ExitStack() as visits:
        yield lambda **traits: visits.enter_context(Visitor(address, **traits))


@pytest.fixture
def ada(visit) -> Callable[..., object]:
    """
    Let Ada come, and log in.
    """

    def come(**traits: object):
        visitor = visit(**traits)
        visitor.log_in(**LOGIN)
        return visitor

    return come
