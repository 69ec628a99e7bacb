"""The home page of the admin: readable on each screen, in both themes, without scripts, and one click from the rows."""

import pytest

from tests.browser.demo_shop import OPERATOR

pytestmark = pytest.mark.browser


@pytest.mark.parametrize(("screen", "dark"), [("desktop", False), ("desktop", True), ("phone", False), ("phone", True)])
def test_fits_and_follows_the_rules(visit, screen, dark):
    browser = visit(screen=screen, dark=dark)
    browser.log_in(**OPERATOR)

    browser.open("/admin/")

    assert not browser.overflows()
    assert browser.policy_violations() == []
    assert browser.accessibility_violations() == []


def test_leads_to_the_rows_that_it_counts_without_scripts(visit):
    browser = visit(javascript=False)
    browser.log_in(**OPERATOR)
    browser.open("/admin/")

    browser.press("confirmed")

    assert "status__exact=confirmed" in browser.address
