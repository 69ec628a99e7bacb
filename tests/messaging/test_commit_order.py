import threading
from concurrent.futures import wait

import pytest
from django.db import connection, transaction

from messaging.models import Delivery, OutboxMessage
from messaging.outbox import publish
from tests.messaging.concurrency import PATIENCE_SECONDS, in_thread
from tests.messaging.products import added, announce, recorded


@pytest.mark.django_db(transaction=True)
class TestCommitsOutOfOrder:
    def test_hide_no_message_from_the_relay(self, paint, relay):
        """SQLite has one writer at a time: there the row with the lower id is deleted, and inserted again later."""
        publish_out_of_order = on_two_connections if connection.vendor == "postgresql" else with_a_gap_that_fills

        publish_out_of_order(after_the_first_commit=relay.drain)
        relay.drain()

        assert recorded() == ["COMMITTED-FIRST", "COMMITTED-LAST"]
        first, last = Delivery.objects.order_by("delivered_at")
        assert first.pk > last.pk


def on_two_connections(*, after_the_first_commit) -> None:
    has_its_id, may_commit = threading.Event(), threading.Event()

    def commit_last() -> None:
        with transaction.atomic():
            publish(added("COMMITTED-LAST"))
            has_its_id.set()
            may_commit.wait(PATIENCE_SECONDS)

    with in_thread(commit_last) as slow:
        has_its_id.wait(PATIENCE_SECONDS)
        announce(added("COMMITTED-FIRST"))
        after_the_first_commit()
        may_commit.set()
        wait([slow], PATIENCE_SECONDS)


def with_a_gap_that_fills(*, after_the_first_commit) -> None:
    announce(added("COMMITTED-LAST"))
    (late,) = Delivery.objects.select_related("message")
    OutboxMessage.objects.all().delete()
    announce(added("COMMITTED-FIRST"))
    after_the_first_commit()
    late.message.save(force_insert=True)
    late.save(force_insert=True)
