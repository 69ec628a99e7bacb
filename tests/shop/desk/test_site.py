"""The home page of the admin."""

import re

import pytest
from django.contrib import admin
from django.urls import reverse

from messaging.models import Delivery
from orders.models import Order
from shop.desk.site import DeskSite
from shop.settings.groups import CONTEXTS
from tests.factories import make_stock, place_order
from tests.operators import concerns_of, figures_of, operator_who_may
from tests.outbox import counting_statements
from tests.processes import manage, run

HOME = "/admin/"
STATEMENTS = 20

FIGURES = {
    "orders.view_order": ["Orders today", "Orders in two weeks", "Why orders of two weeks were lost"],
    "payments.view_capture": ["Money in two weeks"],
    "inventory.view_stockitem": ["Stock about to run out"],
    "messaging.view_delivery": ["Outbox"],
}

OPEN_HOME = """
from django.contrib.auth import get_user_model
from django.test import Client
from django.test.utils import setup_test_environment
setup_test_environment()
client = Client()
client.force_login(get_user_model().objects.create_superuser("olga"))
page = client.get("/admin/")
print("status:", page.status_code)
print("groups:", "; ".join(group["name"] for group in page.context["app_list"]))
print("figures:", "; ".join(figure.chart.title for figure in page.context["figures"]))
"""
OF_EVERY_SERVICE = {"Messaging", "More tables", "Access"}


def groups_of(client) -> dict[str, list[str]]:
    """Return the entries of each group of lists, by the name of the group."""
    groups = client.get(HOME).context["app_list"]
    return {group["name"]: [str(model["name"]) for model in group["models"]] for group in groups}


@pytest.mark.django_db
class TestHome:
    def test_is_the_site_of_every_admin(self):
        assert isinstance(admin.site._wrapped, DeskSite)

    def test_shows_lists_by_the_work_of_operators_and_the_other_tables_below(self, admin_client):
        groups = groups_of(admin_client)
        page = admin_client.get(HOME).content.decode()

        assert groups["Orders and customers"] == ["Orders", "Products", "Users"]
        assert groups["Money"] == ["Payment intents", "Refunds", "Captures", "Webhook events"]
        assert groups["Messaging"] == ["Deliveries", "Outbox messages", "Dead letters", "Backlog by subscriber"]
        assert list(groups)[-1] == "More tables"
        assert {"Attempts", "History entries", "Order lines", "Workers"} <= set(groups["More tables"])
        assert page.index('<details class="more"') < page.index("History entries")

    def test_keeps_the_lists_of_one_app_at_their_address(self, admin_client):
        apps = admin_client.get("/admin/orders/").context["app_list"]

        assert [app["name"] for app in apps] == ["Orders"]

    def test_shows_an_operator_without_permissions_nothing(self):
        page = operator_who_may().get(HOME)

        assert (page.context["concerns"], page.context["figures"], page.context["app_list"]) == ([], [], [])
        assert "You may not see anything here." in page.content.decode()

    @pytest.mark.parametrize(("permission", "titles"), FIGURES.items())
    def test_shows_an_operator_what_the_permissions_allow(self, permission, titles):
        operator = operator_who_may(permission)

        assert list(figures_of(operator)) == titles
        assert sum(map(len, groups_of(operator).values())) == (3 if permission == "messaging.view_delivery" else 1)

    def test_hides_a_concern_whose_list_the_operator_may_not_open(self):
        assert "Workers that run" not in concerns_of(operator_who_may("messaging.view_delivery"))

    def test_says_if_nothing_needs_a_person(self):
        assert "Nothing does, of what you may see." in operator_who_may("orders.view_order").get(HOME).content.decode()

    def test_puts_what_is_urgent_first(self, admin_client):
        make_stock(3)
        place_order()
        Delivery.objects.update(status="dead", error_class="ValueError")

        urgencies = [concern.is_urgent for concern in concerns_of(admin_client).values()]
        assert urgencies == sorted(urgencies, reverse=True)
        assert set(urgencies) == {True, False}

    def test_is_read_by_a_bounded_number_of_statements(self, admin_client, admin_user, drain):
        make_stock(20)
        for _ in range(3):
            place_order()
        drain()
        place_order()
        Delivery.objects.filter(subscriber="notifications.send_email").update(
            status="dead", delivered_at=None, error_class="ValueError"
        )
        admin_client.get(HOME)  # finds that there are few orders, and reads them again
        with counting_statements() as for_superuser:
            admin_client.get(HOME)
        permissions = ["orders.view_order", "payments.view_paymentintent", "payments.view_webhookevent"]
        permissions += ["payments.view_refund", "payments.view_capture", "inventory.view_stockitem"]
        permissions += ["notifications.view_notification", "messaging.view_delivery", "messaging.view_worker"]
        operator = operator_who_may(*permissions)
        with counting_statements() as for_operator:
            operator.get(HOME)

        assert len(for_superuser) <= len(for_operator) <= STATEMENTS

    @pytest.mark.parametrize("language", ["en", "de"])
    def test_draws_in_whole_numbers_in_every_language(self, admin_client, language):
        make_stock(20)
        for _ in range(3):
            place_order()
        Order.objects.filter(pk=Order.objects.first().pk).update(status="confirmed")

        page = admin_client.get(HOME, headers={"Accept-Language": language}).content.decode()

        figures = page[page.index('class="figures"') : page.index('class="as-of"')]
        numbers = re.findall(r' (?:x|y|x1|x2|y1|y2|width|height)="([^"]*)"', figures)
        assert len(numbers) > 20
        assert [number for number in numbers if not number.isdecimal()] == []

    def test_has_the_charts_in_words_and_numbers_too(self, admin_client):
        make_stock(20)
        place_order()

        page = admin_client.get(HOME).content.decode()

        assert 'role="img" aria-label="Orders in two weeks. confirmed: 0, awaiting payment: 0, placed: 1,' in page
        assert "The numbers by day" in page

    def test_answers_a_post_as_the_index_of_django_does(self, admin_client):
        assert admin_client.post(reverse("admin:index")).status_code == 200


class TestService:
    @pytest.mark.parametrize("context", CONTEXTS)
    def test_has_a_home_of_its_own_contexts(self, tmp_path, context):
        variables = {
            "CONTEXTS": context,
            "TRANSPORT_URL": "redis://127.0.0.1:6379",
            "ACCOUNTS_URL": "http://127.0.0.1:8000",
            "INTROSPECTION_SECRET": 32 * "s",
            "DATABASE_URL": f"sqlite:///{tmp_path}/service.sqlite3",
            "PYTHONWARNINGS": "ignore",
        }
        assert run(manage("migrate", "--verbosity=0"), **variables).status == 0

        opened = run(manage("shell", "--no-imports", "--command", OPEN_HOME), **variables)

        assert opened.status == 0, opened.errors
        lines = dict(line.split(": ", 1) for line in opened.output.splitlines() if ": " in line)
        assert lines["status"] == "200"
        own = {"inventory": "Stock", "payments": "Money", "notifications": "Messages to customers"}
        assert set(lines["groups"].split("; ")) == OF_EVERY_SERVICE | {own.get(context, "Orders and customers")}
        assert ("Orders today" in lines["figures"]) == (context == "orders")
        assert "Outbox" in lines["figures"]
