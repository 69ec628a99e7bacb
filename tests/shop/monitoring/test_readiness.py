from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client
from django.utils import timezone

from messaging.contracts import ProductAdded
from messaging.models import Delivery, OperatorPause, SubscriberPause, Worker
from messaging.subscribers import subscribers_of
from shop.monitoring import readiness
from tests.messaging.products import added, announce
from tests.outbox import counting_statements

pytestmark = pytest.mark.django_db(transaction=True)

OK = {"database": "ok", "migrations": "ok", "workers": "ok", "oldest_due": "ok", "broker": "ok"}
LATE = "A delivery has been due for more than 300 s."


def readyz() -> tuple[int, Mapping[str, Any]]:
    answer = Client().get("/readyz")
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json()["ready"] is (answer.status_code == 200)
    return answer.status_code, answer.json()["checks"]


@pytest.fixture
def limit(settings) -> Callable[..., None]:
    """
    Change the limits of readiness.
    """

    def change(**changes: int) -> None:
        settings.MONITORING = replace(settings.MONITORING, **changes)

    return change


@pytest.fixture
def late() -> Delivery:
    """
    A delivery that has been due for ten minutes.
    """
    announce(added("RED-CHAIR"))
    Delivery.objects.update(due_at=timezone.now() - timedelta(minutes=10))
    return Delivery.objects.earliest("pk")


class TestReadyz:
    def test_is_ready_with_a_worker_and_nothing_late(self, worker):
        assert readyz() == (200, OK)

    def test_takes_few_statements(self, worker):
        with counting_statements() as statements:
            readyz()

        assert len(statements) <= 9

    def test_needs_a_worker(self):
        Worker.objects.create(host="shop.example", process=4711, started_at=timezone.now())

        assert readyz() == (503, OK | {"workers": "Workers that run: 0. At least 1 should."})

    def test_needs_all_migrations(self, worker):
        [last] = [name for app, name in readiness._last_migrations() if app == "messaging"]
        recorder = MigrationRecorder(connection)
        recorder.record_unapplied("messaging", last)
        try:
            answer = readyz()
        finally:
            recorder.record_applied("messaging", last)

        assert answer == (503, OK | {"migrations": "Migrations are not applied: run migrate."})

    @pytest.mark.usefixtures("late")
    def test_needs_deliveries_in_time(self, worker):
        assert readyz() == (503, OK | {"oldest_due": LATE})

    @pytest.mark.usefixtures("late")
    def test_does_not_need_what_waits_for_a_service_that_is_down(self, worker):
        until = timezone.now() - timedelta(seconds=1)  # it is being probed
        for subscriber in subscribers_of(ProductAdded):
            SubscriberPause.objects.create(worker=worker, subscriber=subscriber.name, until=until)

        assert readyz() == (200, OK)

    @pytest.mark.usefixtures("late", "worker")
    def test_does_not_need_what_an_operator_has_paused(self):
        now = timezone.now()
        for subscriber in subscribers_of(ProductAdded):
            OperatorPause.objects.create(subscriber=subscriber.name, reason="stocktaking", paused_at=now)

        assert readyz() == (200, OK)

    @pytest.mark.usefixtures("late")
    def test_has_limits_that_can_be_raised_and_removed(self, limit):
        limit(ready_workers=0, ready_oldest_due_seconds=660)

        assert readyz() == (200, OK)

    @pytest.mark.usefixtures("late")
    def test_is_always_ready_without_limits(self, limit, silent_broker):
        limit(ready_workers=0, ready_oldest_due_seconds=0, ready_broker_lag=0)

        assert readyz() == (200, OK)

    def test_needs_the_brokers_answer(self, worker, silent_broker):
        assert readyz() == (503, OK | {"broker": "The broker does not answer."})

    def test_tells_no_address_and_no_error_of_a_database_that_is_down(self):
        def refuse(execute, sql, params, many, context):
            raise OperationalError("connection to db.internal as shop with s3cret refused")

        with connection.execute_wrapper(refuse):
            status, checks = readyz()

        unknown = dict.fromkeys(OK, "Not checked without the database.")
        assert (status, checks) == (503, unknown | {"database": "The database does not answer."})

    def test_is_not_ready_without_connections_to_the_database(self, outage):
        status, checks = outage.submit(readyz).result()

        assert (status, checks["database"]) == (503, "The database does not answer.")

    @pytest.mark.parametrize("accept", ["text/html", "application/json", "*/*"])
    def test_is_json_for_every_client(self, client, accept):
        answer = client.get("/readyz", headers={"Accept": accept})

        assert (answer.status_code, answer.headers["Content-Type"]) == (503, "application/json")
        assert "Content-Language" not in answer.headers
