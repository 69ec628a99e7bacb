"""What the home page of the admin shows of notifications."""

from datetime import timedelta

import pytest
from django.utils import timezone

from messaging.kernel.ids import lowest_id
from notifications.models import Notification
from tests.notifications.events import confirmed, notify
from tests.operators import concerns_of, listed_at

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("status", ["failed", "bounced"])
def test_messages_of_the_last_day_that_reached_nobody_need_a_person(admin_client, status):
    notify(confirmed(), confirmed(email="bob@example.com"))
    unread = Notification.objects.filter(recipient="ada@example.com")
    unread.update(status=status)

    concern = concerns_of(admin_client)[f"Messages of the last day that {status}"]

    assert concern.count == 1
    assert listed_at(admin_client, concern.url) == set(unread.values_list("pk", flat=True))


def test_older_messages_need_none(admin_client):
    notify(confirmed())
    Notification.objects.update(id=lowest_id(timezone.now() - timedelta(days=1, minutes=1)), status="failed")

    assert not [title for title in concerns_of(admin_client) if title.startswith("Messages")]
