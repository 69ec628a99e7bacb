"""Exports of lists of the admin as CSV."""

import csv
from collections.abc import Iterator
from decimal import Decimal
from io import StringIO

import pytest
from django.urls import reverse
from django.utils import timezone

from messaging.kernel import csv_export
from messaging.kernel.csv_export import safe_cell
from messaging.models import Delivery
from tests.factories import make_stock, place_order
from tests.messaging.products import added, announce
from tests.operators import operator_who_may
from tests.outbox import counting_statements

pytestmark = pytest.mark.django_db

DELIVERIES = reverse("admin:messaging_delivery_export")


@pytest.fixture
def letters(paint) -> list[int]:
    """Five dead letters and a pending delivery; the ids of the former, newest first."""
    announce(*[added(f"CHAIR-{number}") for number in range(6)])
    dead = list(Delivery.objects.order_by("-pk").values_list("pk", flat=True)[:5])
    Delivery.objects.filter(pk__in=dead).update(status="dead", error_class="ValueError", failed_at=timezone.now())
    return dead


def rows_of(answer) -> Iterator[dict[str, str]]:
    return csv.DictReader(StringIO(b"".join(answer.streaming_content).decode()))


class TestExport:
    def test_has_what_the_list_is_filtered_by_newest_first(self, admin_client, letters):
        answer = admin_client.get(f"{DELIVERIES}?status__exact=dead")

        rows = list(rows_of(answer))
        assert (answer["Content-Type"], answer["Content-Disposition"]) == (
            "text/csv; charset=utf-8",
            'attachment; filename="delivery.csv"',
        )
        assert [int(row["id"]) for row in rows] == letters
        assert {(row["subscriber"], row["error_class"]) for row in rows} == {("tests.paint", "ValueError")}

    def test_takes_one_statement_for_each_chunk(self, admin_client, letters, monkeypatch):
        monkeypatch.setattr(csv_export, "CHUNK", 2)
        answer = admin_client.get(f"{DELIVERIES}?status__exact=dead")

        with counting_statements() as statements:
            rows = list(rows_of(answer))

        assert (len(rows), len(statements)) == (5, 3)

    def test_has_all_rows_of_a_filter_that_the_page_reads_only_the_newest_for(self, admin_client, letters, monkeypatch):
        monkeypatch.setattr("messaging.kernel.admin.MOST_READ", 2)
        query = "?subscriber=tests.paint"

        page = admin_client.get(f"/admin/messaging/delivery/{query}")

        assert len(page.context["cl"].result_list) == 2
        assert len(list(rows_of(admin_client.get(DELIVERIES + query)))) == 6

    def test_is_linked_from_the_list_with_its_filters(self, admin_client, letters):
        page = admin_client.get("/admin/messaging/delivery/?status__exact=dead").content.decode()

        assert f'href="{DELIVERIES}?status__exact=dead"' in page

    @pytest.mark.parametrize("query", ["?due_at__gte=never", "?nonsense=1"])
    def test_of_absurd_filters_returns_to_the_list(self, admin_client, query):
        assert admin_client.get(DELIVERIES + query).status_code == 302

    def test_has_money_in_main_units_and_no_formula(self, admin_client):
        make_stock()
        place_order(email="=cmd()@example.com", phone="+447700900123")

        [order] = rows_of(admin_client.get(reverse("admin:orders_order_export")))

        assert (order["total"], order["currency"], order["status"]) == ("45.00", "GBP", "placed")
        assert (order["email"], order["phone"]) == ("'=cmd()@example.com", "'+447700900123")

    @pytest.mark.parametrize(("verbs", "status"), [(["view"], 403), (["export"], 403), (["view", "export"], 200)])
    @pytest.mark.parametrize(
        "model", ["orders_order", "payments_paymentintent", "payments_refund", "messaging_delivery"]
    )
    def test_needs_its_own_permission_and_that_to_see_the_list(self, model, verbs, status):
        app, name = model.split("_")
        operator = operator_who_may(*(f"{app}.{verb}_{name}" for verb in verbs))

        assert operator.get(reverse(f"admin:{model}_export")).status_code == status

    @pytest.mark.parametrize(("more", "is_linked"), [([], False), (["messaging.export_delivery"], True)])
    def test_is_linked_for_those_who_may_only(self, letters, more, is_linked):
        operator = operator_who_may("messaging.view_delivery", *more)

        pages = [operator.get(reverse(f"admin:messaging_{name}")) for name in ("delivery_changelist", "groups")]

        assert [DELIVERIES in page.content.decode() for page in pages] == [is_linked, is_linked]


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("-1", "'-1"),
        ("\t=1", "'\t=1"),
        ("Ada", "Ada"),
        (-1, "-1"),
        (Decimal("-1.50"), "-1.50"),
        (None, ""),
    ],
)
def test_a_cell_is_never_a_formula(value, cell):
    assert safe_cell(value) == cell
