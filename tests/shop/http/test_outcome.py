"""
A 503 says whether the request may have taken effect.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Any
from unittest.mock import patch

import pytest
from django.db import OperationalError, connection, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

from orders.api import OrderViewSet
from orders.models import Order, Product
from shop.accounts.models import SigningKey
from shop.http import outcome
from tests.factories import ProductFactory, make_signing_key
from tests.refusals import problem_of
from tests.signing import ORDERS, SENT, send

pytestmark = pytest.mark.django_db(transaction=True)

LOST = "the connection was lost"
NOTHING_DONE, UNKNOWN = "Nothing was done", "it is unknown whether the request took effect"


@pytest.fixture(autouse=True)
def _product():
    ProductFactory()


def failing_commit(*, takes_effect: bool) -> AbstractContextManager[object]:
    """
    Fail each COMMIT, before or after it takes effect.
    """
    original = BaseDatabaseWrapper._commit

    def commit(self: BaseDatabaseWrapper) -> None:
        if takes_effect:
            original(self)
        raise OperationalError(LOST)

    return patch.object(BaseDatabaseWrapper, "_commit", commit)


def failing_statement(words: str, *, nth: int = 1) -> AbstractContextManager[object]:
    """
    Lose the reply to the nth statement that begins with these words.
    """
    original, left = CursorWrapper._execute, [nth]

    def execute(self: CursorWrapper, sql: str, *arguments: Any) -> Any:
        result = original(self, sql, *arguments)
        left[0] -= sql.lstrip().startswith(words)
        if left[0] == 0:
            left[0] = -1
            raise OperationalError(LOST)
        return result

    return patch.object(CursorWrapper, "_execute", execute)


def rename_product() -> None:
    Product.objects.update(name="Another chair")


def roll_back() -> None:
    """
    Roll back a transaction, or inside another one a savepoint.
    """
    with suppress(ValueError), transaction.atomic():
        rename_product()
        raise ValueError


def lose_a_transaction() -> None:
    """
    Lose the connection in the second statement of a transaction.
    """
    with failing_statement("SELECT"), suppress(OperationalError), transaction.atomic():
        rename_product()
        Product.objects.get()
        pytest.fail("The statement did not fail.")


@contextmanager
def connection_ended_by(trigger: str) -> Iterator[None]:
    """
    Let the server end the connection when this trigger fires.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION end_connection() RETURNS trigger LANGUAGE plpgsql"
            " AS $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$;"
            f"CREATE {trigger} FOR EACH ROW EXECUTE FUNCTION end_connection()"
        )
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP FUNCTION end_connection() CASCADE")


class TestOfAnOrder:
    @pytest.mark.parametrize(("takes_effect", "replayed"), [(True, "true"), (False, None)])
    def test_is_unknown_when_commit_fails_and_known_by_repeating(self, ada, api, takes_effect, replayed):
        with failing_commit(takes_effect=takes_effect):
            lost = send(api, SENT)

        again = send(api, SENT)

        assert UNKNOWN in problem_of(lost)["detail"]
        assert "`Idempotency-Key`" in problem_of(lost)["detail"]
        assert int(lost.headers["Retry-After"]) > 0
        assert (again.status_code, again.headers.get("Idempotent-Replayed")) == (201, replayed)
        assert Order.objects.count() == 1

    @pytest.mark.parametrize("nth", [1, 2, 3])
    def test_is_nothing_when_a_statement_before_fails(self, ada, api, nth):
        with failing_statement("SELECT", nth=nth):
            lost = send(api, SENT)

        assert NOTHING_DONE in problem_of(lost)["detail"]
        assert not Order.objects.exists()

    def test_is_unknown_when_the_order_cannot_be_read_after_its_cancellation(self, ada, api):
        order = Order.objects.get(pk=send(api, SENT).json()["id"])

        with patch.object(OrderViewSet, "get_object", side_effect=[order, OperationalError(LOST)]):
            lost = api.post(f"{ORDERS}{order.pk}/cancel/")

        order.refresh_from_db()
        assert (order.status, lost.status_code) == ("cancelled", 503)
        assert UNKNOWN in problem_of(lost)["detail"]

    @pytest.mark.skipif(connection.vendor != "postgresql", reason="needs a server")
    @pytest.mark.parametrize(
        ("trigger", "outcome_of_it"),
        [
            ("TRIGGER ends_before AFTER INSERT ON orders_orderline", NOTHING_DONE),
            ("CONSTRAINT TRIGGER ends_in_commit AFTER INSERT ON orders_order DEFERRABLE INITIALLY DEFERRED", UNKNOWN),
        ],
    )
    def test_is_told_when_the_server_ends_the_connection(self, ada, api, trigger, outcome_of_it):
        with connection_ended_by(trigger):
            lost = send(api, SENT)

        assert outcome_of_it in problem_of(lost)["detail"]
        assert send(api, SENT).status_code == 201
        assert Order.objects.count() == 1


class TestOfOtherRequests:
    def test_is_unknown_when_the_reply_to_a_single_statement_is_lost(self, ada, api):
        key = make_signing_key()

        with failing_statement("UPDATE"):
            lost = api.delete(f"/api/v1/signing-keys/{key.pk}/")

        assert UNKNOWN in problem_of(lost)["detail"]
        assert SigningKey.objects.get().revoked_at

    @pytest.mark.parametrize("path", [ORDERS, "/api/v1/products/", "/healthz"])
    def test_is_nothing_for_a_request_that_reads(self, ada, api, path):
        with failing_statement("SELECT"):
            lost = api.get(path)

        assert NOTHING_DONE in problem_of(lost)["detail"]


class TestOfSeveralTransactions:
    def test_is_nothing_when_the_first_was_rolled_back_and_the_second_fails(self):
        with outcome.tracking_writes():
            roll_back()
            lose_a_transaction()

            assert not outcome.is_unknown()

    @pytest.mark.parametrize("in_savepoint", [False, True])
    def test_is_unknown_when_one_commits_after_a_rollback_and_the_next_fails(self, in_savepoint):
        with outcome.tracking_writes():
            with transaction.atomic() if in_savepoint else nullcontext():
                roll_back()
                with transaction.atomic():
                    rename_product()
            lose_a_transaction()

            assert outcome.is_unknown()
