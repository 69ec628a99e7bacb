from uuid import uuid4

import pytest
from django.db import IntegrityError, transaction

from tests.notifications.events import confirmed, make_notification


@pytest.mark.django_db
def test_rejects_a_second_notification_of_a_message_to_the_same_recipient():
    notification = make_notification(confirmed())
    notification.pk = uuid4()

    with pytest.raises(IntegrityError), transaction.atomic():
        notification.save(force_insert=True)
