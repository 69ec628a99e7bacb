"""The tour of the demo: an order is confirmed although its workers are killed, and the page follows it."""

import pytest

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("screen", ["desktop", "phone"])
def test_begins_on_a_page_that_fits_and_follows_the_rules(visit, screen):
    browser = visit(screen=screen)

    browser.open("/")

    assert 5_000 < browser.bytes_loaded() < 100_000
    assert not browser.overflows()
    assert browser.policy_violations() == []
    assert browser.accessibility_violations() == []


def test_confirms_an_order_although_all_workers_are_killed(visit):
    browser = visit()
    browser.open("/")

    browser.press("Kill the workers now")
    browser.wait_for_text("email order_confirmed: accepted")

    assert browser.text.count("captured 45.00 GBP") == 1
    assert not browser.overflows()
    assert browser.policy_violations() == []
    assert browser.accessibility_violations() == []
