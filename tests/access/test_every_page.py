"""Every page of the shop in a browser: it fits the screen, and follows the accessibility rules of axe-core."""

from collections.abc import Iterator
from functools import partial

import pytest

from tests.access.callers import Caller, ResourceIds
from tests.access.routes import Route, every_route

pytestmark = pytest.mark.browser

FEWEST = 8
"""Pages that a guest sees; others see more."""

NOT_CHECKED = ("/api/v1/docs/", "/api/v1/redoc/", "/mail/")
"""The ends of Swagger UI and Redoc, which are not ours, and of mails, on which axe-core may not run."""


@pytest.fixture
def visit(live_server):
    from tests.browser.browser import Browser  # Selenium is not in requirements.txt

    return partial(Browser, live_server.url)


def pages_of(caller: Caller, ids: ResourceIds) -> Iterator[str]:
    """Yield the address of each page that shows something else than an error to this caller."""
    for route in every_route():
        if route.method == "GET" and not route.pattern.endswith(NOT_CHECKED) and is_page(caller, route, ids):
            yield route.address(ids)


def is_page(caller: Caller, route: Route, ids: ResourceIds) -> bool:
    answer = caller.by_browser(route, ids)
    return answer.status_code == 200 and answer.headers.get("Content-Type", "").startswith("text/html")


class TestEveryPage:
    @pytest.mark.parametrize("screen", ["desktop", "phone"])
    @pytest.mark.parametrize("name", ["guest", "ada", "olga"])
    def test_fits_and_follows_the_rules_of_accessibility(self, visit, people, ids, name, screen):
        faults = {}

        with visit(screen=screen) as browser:
            browser.carry(people[name].session)
            for page in dict.fromkeys(pages_of(people[name], ids)):
                browser.open(page)
                faults[page] = [*browser.policy_violations(), *browser.accessibility_violations()]
                faults[page] += ["wider than the screen"] * browser.overflows()

        assert len(faults) > FEWEST
        assert {page: of_page for page, of_page in faults.items() if of_page} == {}
