import pytest
from django.db import connection

from messaging.kernel.lookups import equals_any
from messaging.models import Delivery, OutboxMessage
from tests.messaging.products import added, announce


@pytest.fixture
def chairs(paint):
    announce(added("RED-CHAIR"), added("BLUE-CHAIR"), added("GREEN-CHAIR"))
    return list(OutboxMessage.objects.exclude(key="GREEN-CHAIR").order_by("id"))


@pytest.mark.django_db(transaction=True)
class TestAny:
    @pytest.mark.parametrize("form", [lambda id_: id_, str], ids=["as UUIDs", "as text"])
    def test_finds_rows_by_their_ids(self, chairs, form):
        ids = [form(chair.pk) for chair in chairs]

        assert list(OutboxMessage.objects.filter(pk__any=ids).order_by("id")) == chairs
        assert [delivery.message_id for delivery in Delivery.objects.filter(message_id__any=ids).order_by("id")] == [
            chair.pk for chair in chairs
        ]

    def test_finds_nothing_in_an_empty_list(self, chairs):
        assert not OutboxMessage.objects.filter(pk__any=[]).exists()

    def test_passes_a_list_as_one_parameter_on_postgresql(self, chairs):
        _, parameters = OutboxMessage.objects.filter(pk__any=[chair.pk for chair in chairs]).query.sql_with_params()

        assert len(parameters) == (1 if connection.vendor == "postgresql" else 2)


@pytest.mark.django_db(transaction=True)
class TestEqualsAny:
    def test_finds_rows_by_their_ids(self, chairs):
        deliveries = [delivery.pk for delivery in Delivery.objects.order_by("id")][:2]
        chosen, ids = equals_any("id", deliveries)

        with connection.cursor() as cursor:
            cursor.execute(f"SELECT key FROM messaging_delivery WHERE {chosen} ORDER BY id", ids)
            assert cursor.fetchall() == [("RED-CHAIR",), ("BLUE-CHAIR",)]
