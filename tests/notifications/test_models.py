from uuid import uuid4

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from notifications.models import Notification


@pytest.mark.django_db
def test_the_database_refuses_to_tell_one_person_one_thing_twice():
    told = Notification.objects.create(
        message_id=uuid4(),
        order_id=uuid4(),
        kind="order_confirmed",
        recipient="ada@example.com",
        created_at=timezone.now(),
    )
    told.pk = uuid4()

    with pytest.raises(IntegrityError), transaction.atomic():
        told.save(force_insert=True)
