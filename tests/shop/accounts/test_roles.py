"""The groups that the migration creates: what their members may see and do."""

from collections.abc import Callable
from importlib import import_module

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
from django.db import connection
from django.test import Client
from django.urls import reverse

from inventory.models import StockItem
from orders.models import Order
from payments.models import PaymentIntent, Refund
from shop.accounts.models import SigningKey, Token
from tests.factories import api_of, make_signing_key, make_stock, place_order
from tests.operators import act, figures_of, page
from tests.outbox import counting_statements

pytestmark = pytest.mark.django_db

ROLES = import_module("shop.accounts.migrations.0005_roles")
RESOLUTIONS = import_module("shop.accounts.migrations.0006_operators_view_resolutions")
EXPORTING = import_module("shop.accounts.migrations.0012_exports")

STOCK = {"inventory.StockItem", "inventory.Reservation", "inventory.ReservationLine", "inventory.StockMovement"}
ORDERS = {"orders.Order", "orders.OrderLine", "orders.HistoryEntry"}
MESSAGES = {"notifications.Notification", "notifications.Suppression"}
MONEY = {"payments.PaymentIntent", "payments.Capture", "payments.Refund", "payments.WebhookEvent"}
MESSAGING = {"messaging.OutboxMessage", "messaging.Delivery", "messaging.Attempt", "messaging.Worker"}

LISTS = {
    "support": ORDERS
    | MESSAGES
    | {"orders.Product", "payments.PaymentIntent", "payments.Refund", "auth.User"}
    | STOCK - {"inventory.StockMovement"},
    "warehouse": STOCK,
    "finance": ORDERS | MONEY | {"payments.Reconciliation"},
    "operator": STOCK
    | ORDERS
    | MESSAGES
    | MONEY
    | MESSAGING
    | {"orders.Product", "payments.Reconciliation", "messaging.ReceiverState", "auth.User"}
    | {"shop.Token", "shop.SigningKey"},
}
FIGURES = {
    "support": {"Orders", "Stock"},
    "warehouse": {"Stock"},
    "finance": {"Orders", "Money"},
    "operator": {"Orders", "Money", "Stock", "Outbox"},
}

EXPORTS = {
    "support": set(),
    "warehouse": set(),
    "finance": {"payments_paymentintent", "payments_refund"},
    "operator": {"orders_order", "payments_paymentintent", "payments_refund", "messaging_delivery"},
}


@pytest.fixture
def member_of() -> Callable[[str], Client]:
    """Log in as a member of this group only, after the migrations."""
    Group.objects.all().delete()
    ROLES.create_roles(apps, connection.schema_editor())
    RESOLUTIONS.grant(apps, connection.schema_editor())
    EXPORTING.grant(apps, connection.schema_editor())

    def log_in(role: str) -> Client:
        member = get_user_model().objects.create_user(f"{role}-member", is_staff=True)
        member.groups.add(Group.objects.get(name=role))
        client = Client()
        client.force_login(member)
        return client

    return log_in


@pytest.fixture
def order(drain) -> Order:
    make_stock(10)
    order = place_order()
    drain()
    return order


@pytest.mark.parametrize("role", LISTS)
def test_members_open_these_lists_and_no_others(member_of, role):
    member = member_of(role)

    statuses = {model._meta.label: member.get(page(model)).status_code for model in admin.site._registry}

    assert {label for label, status in statuses.items() if status == 200} == LISTS[role]
    assert set(statuses.values()) == {200, 403}


@pytest.mark.parametrize("role", EXPORTS)
def test_members_export_these_lists_and_no_others(member_of, role, order):
    member = member_of(role)

    statuses = {name: member.get(reverse(f"admin:{name}_export")).status_code for name in EXPORTS["operator"]}

    assert {name for name, status in statuses.items() if status == 200} == EXPORTS[role]
    assert set(statuses.values()) <= {200, 403}


@pytest.mark.parametrize("role", FIGURES)
def test_members_have_these_figures_on_their_home_page(member_of, role, order):
    assert {title.split()[0] for title in figures_of(member_of(role))} - {"Why"} == FIGURES[role]


@pytest.mark.parametrize("role", LISTS)
def test_members_change_no_users_and_groups(member_of, role, ada):
    member = member_of(role)

    assert member.post(page(get_user_model(), "change", ada.pk), {"is_superuser": "on"}).status_code == 403
    assert member.post(page(Group, "add"), {"name": "mine"}).status_code == 403


class TestSupport:
    def test_cancels_orders(self, member_of):
        make_stock(10)
        order = place_order()

        act(member_of("support"), "cancel", order)

        assert Order.objects.get().status == "cancelled"

    def test_refunds_no_money(self, member_of, order):
        act(member_of("support"), "refund_rest", PaymentIntent.objects.get())

        assert not Refund.objects.exists()

    def test_sees_no_tokens_and_keys(self, member_of, order):
        api_of("ada")
        make_signing_key()
        support = member_of("support")

        answers = [support.get(page(model, "change", model.objects.get().pk)) for model in (Token, SigningKey)]

        assert [answer.status_code for answer in answers] == [403, 403]
        assert "Tokens" not in support.get("/admin/").content.decode()


class TestWarehouse:
    def test_receives_goods(self, member_of):
        act(member_of("warehouse"), "receive", make_stock(10), quantity=5)

        assert StockItem.objects.get().on_hand == 15

    def test_sees_no_money(self, member_of, order):
        warehouse = member_of("warehouse")
        addresses = ["/admin/", *(page(model) for model in admin.site._registry if model._meta.label in STOCK)]
        addresses += [page(StockItem, "change", "RED-CHAIR")]

        pages = [warehouse.get(address) for address in addresses]

        assert {answer.status_code for answer in pages} == {200}
        assert not [answer for answer in pages if "GBP" in answer.content.decode()]
        assert warehouse.get(page(Order, "change", order.pk)).status_code == 403


class TestFinance:
    def test_refunds_money_but_cancels_no_orders(self, member_of, order):
        finance = member_of("finance")

        act(finance, "refund_rest", PaymentIntent.objects.get())
        act(finance, "cancel", order)

        assert Refund.objects.get().amount == order.total
        assert Order.objects.get().status != "cancelled"


def test_exports_are_not_granted_to_another_role_of_that_name():
    Group.objects.all().delete()
    Group.objects.create(name="finance")

    EXPORTING.grant(apps, connection.schema_editor())

    assert not Group.objects.get().permissions.exists()


class TestResolutions:
    def test_are_viewed_by_operators_only(self, member_of):
        member_of("operator")

        viewers = Group.objects.filter(permissions__codename="view_resolution")

        assert [group.name for group in viewers] == ["operator"]

    def test_are_not_granted_to_another_role_of_that_name(self):
        Group.objects.all().delete()
        Group.objects.create(name="operator")

        RESOLUTIONS.grant(apps, connection.schema_editor())

        assert not Group.objects.get().permissions.exists()


def test_a_group_that_exists_is_left_alone():
    Group.objects.all().delete()
    Group.objects.create(name="finance")

    ROLES.create_roles(apps, connection.schema_editor())

    assert not Group.objects.get(name="finance").permissions.exists()
    assert Group.objects.get(name="warehouse").permissions.count() == 5


def test_permissions_of_a_user_and_of_groups_are_read_by_one_statement(member_of, ada):
    member_of("warehouse")
    ada.groups.add(Group.objects.get(name="warehouse"))
    ada.user_permissions.add(Permission.objects.get(codename="view_order"))

    with counting_statements() as statements:
        may = [ada.has_perm(name) for name in ("orders.view_order", "inventory.view_stockitem", "auth.view_user")]

    assert may == [True, True, False]
    assert len(statements) == 1
