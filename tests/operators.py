"""Operators, and the pages of the admin."""

from typing import Any

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.db.models import Model
from django.test import Client
from django.urls import reverse

from shop.http.desk import Concern


def page(model: type[Model], kind: str = "changelist", *arguments: object) -> str:
    """Return the URL of a page of this model's admin."""
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{kind}", args=arguments)


def operator_who_may(*permissions: str) -> Client:
    """Return a client logged in as an operator with only these permissions, such as "orders.view_order"."""
    operator = get_user_model().objects.create_user("olga", is_staff=True)
    for permission in permissions:
        app, codename = permission.split(".")
        operator.user_permissions.add(Permission.objects.get(content_type__app_label=app, codename=codename))
    client = Client()
    client.force_login(operator)
    return client


def act(client: Client, action: str, *chosen: Model, **fields: object) -> str:
    """Apply an action to these rows of their list, confirm it, and return the page that follows."""
    form = {"action": action, "_selected_action": [str(row.pk) for row in chosen], "confirmed": "yes"} | fields
    return client.post(page(type(chosen[0])), form, follow=True).content.decode()


def open_every_page_of(app: str, client: Client) -> dict[str, int]:
    """
    Open the list, a search and the newest row of every model of a context. Return the worst status by model.

    Each model needs a row.
    """
    registered = [model for model in admin.site._registry if model._meta.app_label == app]
    return {model.__name__: _worst_status(model, client) for model in registered}


def _worst_status(model: type[Model], client: Client) -> int:
    newest = model.objects.latest("pk")
    addresses = [
        page(model),
        page(model) + "?q=no+such+thing",
        page(model) + f"?q={newest.pk}",
        page(model, "change", newest.pk),
    ]
    return max(client.get(address).status_code for address in addresses)


def concerns_of(client: Client) -> dict[str, Concern]:
    """Return what needs a person on the home page of this operator, by title."""
    return {concern.title: concern for concern in client.get(reverse("admin:index")).context["concerns"]}


def figures_of(client: Client) -> dict[str, Any]:
    """Return the figures on the home page of this operator, by title."""
    return {figure.chart.title: figure for figure in client.get(reverse("admin:index")).context["figures"]}


def listed_at(client: Client, url: str) -> set[Any]:
    """Return the primary keys of all rows in a list of the admin."""
    return set(client.get(url).context["cl"].queryset.values_list("pk", flat=True))
