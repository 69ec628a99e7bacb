from uuid import UUID

import pytest
from django.core import mail

from notifications import erasure
from notifications.models import Notification
from tests.notifications.events import ORDER, confirmed, make_notification, queue, send_queued
from tests.notifications.tracking import post, postmark, use_provider

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("status", ["queued", "sending", "unknown"])
def test_sends_nothing_that_is_on_its_way(status):
    queue(confirmed())
    Notification.objects.update(status=status)

    erasure.erase([UUID(ORDER)])
    send_queued(Notification.Channel.EMAIL)

    assert Notification.objects.values_list("status", "reason").get() == ("suppressed", "erased")
    assert mail.outbox == []


def test_stores_nothing_that_a_provider_reports_about_the_recipient(settings):
    use_provider(settings, "postmark")
    notification = make_notification(confirmed(email="mirabel.quux@example.com"))
    erasure.erase([UUID(ORDER)])

    post(postmark(notification, "Bounce", Type="HardBounce", Details="550 mirabel.quux has no mailbox"))

    assert Notification.objects.values_list("status", "error").get() == ("bounced", "")
