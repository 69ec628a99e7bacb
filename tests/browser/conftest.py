"""
What these tests import of Selenium is not in requirements.txt, so nothing but a fixture may import it.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.browser.shopfront import LOGIN, Shopfront
from tests.processes import database_url


@pytest.fixture(scope="session")
def address(tmp_path_factory, django_db_setup) -> Iterator[str]:
    """
    Open a shop on the tests' database, and tell where it is.
    """
    with Shopfront(tmp_path_factory.mktemp("shop"), database_url()) as shop:
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
