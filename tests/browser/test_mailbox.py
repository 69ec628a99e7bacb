"""The mails and SMS of the demo, which sends nothing."""

import pytest

from tests.browser.demo_shop import OPERATOR

pytestmark = pytest.mark.browser


@pytest.mark.parametrize(("screen", "dark", "language"), [("desktop", False, "en"), ("phone", True, "de")])
def test_an_operator_reads_what_was_sent_to_a_customer(visit, screen, dark, language):
    browser = visit(screen=screen, dark=dark, language=language)
    browser.log_in(**OPERATOR)
    violations = []

    browser.open("/sent/?page=1000")  # the last one, with the mails of the demo's orders
    browser.reload_until("We have received")
    violations += browser.accessibility_violations()
    browser.press("We have received")

    assert browser.headline.startswith("We have received your order")
    assert browser.frames()[0].splitlines()[:2] == ["The Shop", browser.headline]
    assert violations + browser.accessibility_violations() == []
    assert browser.policy_violations() == []
    assert not browser.overflows()
