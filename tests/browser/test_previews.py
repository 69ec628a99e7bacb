"""Previews of mails, in frames that the policy of the page allows."""

import pytest

from tests.browser.demo_shop import OPERATOR

pytestmark = pytest.mark.browser

PREVIEW = "/admin/notifications/notification/previews/order-confirmed/en/"


@pytest.mark.parametrize("screen", ["desktop", "phone"])
def test_show_the_mail_in_frames_that_the_policy_allows(visit, screen):
    browser = visit(screen=screen)
    browser.log_in(**OPERATOR)

    browser.open(PREVIEW)

    assert [text.splitlines()[:2] for text in browser.frames()] == [
        ["The Shop", "Your order K7Q4-M2X0 is confirmed"]
    ] * 2
    assert browser.policy_violations() == []
