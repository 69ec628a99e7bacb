"""Selenium is not in requirements.txt, so only a fixture may import it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.browser.demo_shop import LOGIN, DemoShop
from tests.processes import database_url


@pytest.fixture(scope="session")
def address(tmp_path_factory, django_db_setup) -> Iterator[str]:
    """Run a shop on the tests' database; yield its address."""
    with DemoShop(tmp_path_factory.mktemp("shop"), database_url()) as shop:
        yield shop.address


@pytest.fixture
def visit(address) -> Iterator[Callable[..., object]]:
    """Open a browser; `visit(javascript=False)` opens one that runs no scripts."""
    from tests.browser.browser import Browser

    with ExitStack() as browsers:
        yield lambda **options: browsers.enter_context(Browser(address, **options))


@pytest.fixture
def logged_in(visit) -> Callable[..., object]:
    """Open a browser and log in as Ada."""

    def open_(**options: object):
        browser = visit(**options)
        browser.log_in(**LOGIN)
        return browser

    return open_
