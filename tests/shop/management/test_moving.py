from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model
from django.utils import timezone

from messaging.models import Attempt, Delivery, OutboxMessage
from notifications.models import Notification, Preference
from orders.models import Order
from tests.commands import run
from tests.database import delete_rows
from tests.processes import database_url
from tests.shop.operations.audit.day import live_a_day
from tests.shop.operations.services import copied

pytestmark = pytest.mark.django_db(transaction=True)

OLD, TWIN = "old", "twin"
DEAD, PENDING, DELIVERED = Delivery.Status.DEAD, Delivery.Status.PENDING, Delivery.Status.DELIVERED
ACKNOWLEDGE = "notifications.acknowledge_order"
CONTEXTS = ["inventory", "payments", "notifications"]


def move(context: str, source: str = OLD) -> str:
    return run("move_context", context, f"--from={database_url(connections[source].settings_dict['NAME'])}")


def rows_of(model: type[Model], alias: str = "default") -> list[dict[str, object]]:
    return list(model._meta.base_manager.using(alias).order_by("pk").values())


def deliveries_to(context: str, alias: str = "default") -> list[dict[str, object]]:
    """The deliveries in their order, without ids and claims, with the messages and the errors of their attempts."""
    deliveries = Delivery.objects.using(alias).filter(subscriber__startswith=f"{context}.").order_by("pk")
    return [
        {
            **{name: value for name, value in vars(delivery).items() if name not in {"_state", "id", "claim_token"}},
            "message": OutboxMessage.objects.using(alias).filter(pk=delivery.message_id).values().get(),
            "errors": list(delivery.failures.order_by("pk").values_list("number", "error")),
        }
        for delivery in deliveries
    ]


def some_delivery(subscriber: str, alias: str = "default") -> Delivery:
    return Delivery.objects.using(alias).filter(subscriber=subscriber).order_by("pk").first()


def prepare() -> None:
    """Live a day, and leave deliveries of every status and age behind."""
    live_a_day()
    Preference.objects.create(customer_id="7", kind="order_confirmed", channel="sms", is_on=True)
    dead = some_delivery("notifications.send_confirmation")
    Delivery.objects.filter(pk=dead.pk).update(status=DEAD, delivered_at=None, attempts=2, error_class="KeyError")
    for number in (1, 2):
        Attempt.objects.create(delivery=dead, number=number, failed_at=timezone.now(), error=f"for {number}")
    for subscriber in ("inventory.reserve_stock", "payments.take_payment", "notifications.acknowledge_order"):
        Delivery.objects.filter(pk=some_delivery(subscriber).pk).update(status=PENDING, delivered_at=None, attempts=3)


@contextmanager
def databases(folder: Path, *aliases: str) -> Iterator[list[BaseDatabaseWrapper]]:
    """Copy the test's database to these aliases, and empty it."""
    with copied(folder, aliases) as opened:
        delete_rows()
        for alias, database in zip(aliases, opened, strict=True):
            connections[alias] = database
        yield opened
        for alias in aliases:
            del connections[alias]


@pytest.fixture
def old(tmp_path: Path) -> Iterator[BaseDatabaseWrapper]:
    """The database of a shop that has had a day; that of the test is empty."""
    prepare()
    with databases(tmp_path, OLD) as [database]:
        yield database


@pytest.fixture
def twins(tmp_path: Path) -> Iterator[None]:
    """Two equal databases: the second is as the first was before a context left it."""
    prepare()
    with databases(tmp_path, OLD, TWIN):
        yield


class TestMoveContext:
    def test_moves_the_rows_and_the_deliveries_of_a_context(self, old: BaseDatabaseWrapper) -> None:
        for context in CONTEXTS:
            models = list(apps.get_app_config(context).get_models())
            others = [row for row in rows_of(Delivery, OLD) if not row["subscriber"].startswith(context)]
            rows, deliveries = {model: rows_of(model, OLD) for model in models}, deliveries_to(context, OLD)
            assert any(delivery["status"] == PENDING for delivery in deliveries)

            output = move(context)

            assert {model: rows_of(model) for model in models} == rows
            assert deliveries_to(context) == deliveries
            assert [rows_of(model, OLD) for model in models] == [[] for _ in models]
            assert rows_of(Delivery, OLD) == others
            number = sum(map(len, rows.values()))
            assert output == f"Moved {number} rows of {context} and {len(deliveries)} deliveries to it.\n"

        assert Order.objects.using(OLD).exists()
        assert not Order.objects.exists()

    @pytest.mark.usefixtures("old")
    def test_what_was_moved_is_delivered_here(self, drain) -> None:
        pending = Delivery.objects.using(OLD).filter(subscriber__startswith="notifications.", status=PENDING)
        pending.update(due_at=timezone.now())
        expected = Counter((subscriber, "delivered") for subscriber in pending.values_list("subscriber", flat=True))
        assert set(expected) == {(ACKNOWLEDGE, "delivered"), ("notifications.send_reminder", "delivered")}

        move("notifications")

        assert drain() >= expected  # and what these publish

    @pytest.mark.usefixtures("twins")
    def test_repeats_nothing_if_it_was_killed_between_the_two_commits(self) -> None:
        for context in CONTEXTS:
            models = list(apps.get_app_config(context).get_models())
            move(context, OLD)
            rows, deliveries = [rows_of(model) for model in models], deliveries_to(context)

            move(context, TWIN)

            assert [rows_of(model) for model in models] == rows
            assert deliveries_to(context) == deliveries
            assert deliveries_to(context, TWIN) == []

    @pytest.mark.usefixtures("twins")
    def test_keeps_rows_whose_generated_ids_exist_here(self) -> None:
        move("notifications", OLD)
        Preference.objects.using(TWIN).update(customer_id="8")

        move("notifications", TWIN)
        Preference.objects.create(customer_id="9", kind="order_confirmed", channel="sms", is_on=True)

        assert sorted(Preference.objects.values_list("customer_id", flat=True)) == ["7", "8", "9"]

    @pytest.mark.usefixtures("old")
    def test_keeps_what_is_finished_on_either_side(self) -> None:
        here = {}
        for subscriber, status in {"notifications.send_cancellation": PENDING, ACKNOWLEDGE: DELIVERED}.items():
            there = some_delivery(subscriber, OLD)
            assert {there.status, status} == {PENDING, DELIVERED}
            OutboxMessage.objects.using(OLD).get(pk=there.message_id).save(using="default", force_insert=True)
            here[subscriber] = Delivery.objects.create(
                message_id=there.message_id,
                subscriber=subscriber,
                key=there.key,
                due_at=timezone.now(),
                status=status,
                delivered_at=timezone.now() if status == DELIVERED else None,
            )

        move("notifications")

        statuses = Delivery.objects.filter(pk__in=[row.pk for row in here.values()]).values_list("status", flat=True)
        assert list(statuses) == [DELIVERED, DELIVERED]

    @pytest.mark.usefixtures("old")
    def test_moves_nothing_while_a_worker_delivers(self) -> None:
        rows, claimed = rows_of(Notification, OLD), Delivery.objects.using(OLD).filter(subscriber=ACKNOWLEDGE)
        claimed = claimed.filter(status=PENDING)
        claimed.update(claim_token=uuid4(), due_at=timezone.now() + timedelta(seconds=10))

        with pytest.raises(CommandError, match=rf"A worker delivers to {ACKNOWLEDGE} until .* Stop the workers"):
            move("notifications")

        assert not Notification.objects.exists()
        assert deliveries_to("notifications") == []
        assert rows_of(Notification, OLD) == rows

        claimed.update(due_at=timezone.now())  # the worker was killed
        move("notifications")

        assert some_delivery(ACKNOWLEDGE).claim_token is None

    def test_refuses_tables_of_another_release(self, old: BaseDatabaseWrapper) -> None:
        with old.cursor() as cursor:
            cursor.execute("DELETE FROM django_migrations WHERE app = 'notifications' AND name LIKE '0011%%'")

        with pytest.raises(CommandError, match=r"different releases: run `manage\.py migrate` for both"):
            move("notifications")

    def test_refuses_a_context_that_this_service_does_not_run(self, settings) -> None:
        settings.SERVICE = replace(settings.SERVICE, contexts=("payments",))

        with pytest.raises(CommandError, match="This service does not run notifications: set CONTEXTS"):
            run("move_context", "notifications", "--from=postgres://db.example/shop")

    def test_refuses_the_database_of_this_service(self) -> None:
        with pytest.raises(CommandError, match="Both URLs are of the same database"):
            run("move_context", "notifications", f"--from={database_url()}")

    def test_refuses_what_is_no_database(self, tmp_path: Path) -> None:
        with pytest.raises(ImproperlyConfigured, match="--from is not the URL of a database"):
            run("move_context", "notifications", "--from=mysql://db.example/shop")
        with pytest.raises(CommandError, match="There is no database"):
            run("move_context", "notifications", f"--from=sqlite:///{tmp_path}/none.sqlite3")
        with pytest.raises(CommandError, match="Nothing was moved: "):
            run("move_context", "notifications", "--from=postgres://postgres@127.0.0.1:1/shop")
