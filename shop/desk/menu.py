"""
The lists of the admin, grouped by the operator's work. A service has those of its own contexts.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from django.conf import settings
from django.urls import reverse


class Page(NamedTuple):
    """
    A page of the admin that is no list of a model.
    """

    group: str
    name: str
    route: str
    """Such as "admin:messaging_backlog"."""
    permission: str


MORE = "More tables"
"""What is listed nowhere else: tables that other pages show parts of, and the scheduler's."""

GROUPS: Mapping[str, Sequence[str]] = {
    "Orders and customers": ("orders.order", "orders.product", "auth.user"),
    "Money": ("payments.paymentintent", "payments.refund", "payments.capture", "payments.webhookevent"),
    "Stock": ("inventory.stockitem", "inventory.reservation", "inventory.stockmovement"),
    "Messages to customers": ("notifications.notification", "notifications.suppression"),
    "Messaging": ("messaging.delivery", "messaging.outboxmessage"),
    "Audit": ("operations.auditviolation", "operations.auditrun"),
    "Access": ("auth.group", "shop.token", "shop.signingkey"),
}
"""The models of each group, most used first."""

OF_SERVICES_WITHOUT_ACCOUNTS: Mapping[str, Sequence[str]] = {
    "Orders and customers": (),
    "Access": ("auth.user", "auth.group"),
}
"""Their users are operators."""

PAGES = (
    Page("Messaging", "Dead letters", "admin:messaging_groups", "messaging.view_delivery"),
    Page("Messaging", "Backlog by subscriber", "admin:messaging_backlog", "messaging.view_delivery"),
    Page("Messages to customers", "Previews", "admin:notifications_previews", "notifications.view_notification"),
)

App = dict[str, Any]
"""As Django's templates of the admin read it."""


def grouped(apps: Iterable[App], user: Any, home: str) -> list[App]:
    """
    Return the groups that have an entry for this user, as Django lists apps.

    :param apps: Django's list, with the models that the user may see.
    :param home: the URL of the desk, where each group has an anchor.
    """
    models = {f"{app['app_label']}.{model['object_name'].lower()}": model for app in apps for model in app["models"]}
    labels_of = {**GROUPS} if settings.SERVICE.has_accounts else {**GROUPS, **OF_SERVICES_WITHOUT_ACCOUNTS}
    groups = {name: [models.pop(label) for label in labels if label in models] for name, labels in labels_of.items()}
    groups[MORE] = sorted(models.values(), key=lambda model: str(model["name"]))
    for page in PAGES:
        if user.has_perm(page.permission) and groups[page.group]:
            groups[page.group].append(_entry(page))
    return [_group(name, entries, home) for name, entries in groups.items() if entries]


def _group(name: str, entries: Sequence[App], home: str) -> App:
    anchor = name.lower().replace(" ", "-")
    return {
        "name": name,
        "app_label": anchor,
        "app_url": f"{home}#{anchor}",
        "has_module_perms": True,
        "models": entries,
        "is_more": name == MORE,
    }


def _entry(page: Page) -> App:
    return {
        "name": page.name,
        "object_name": page.name.replace(" ", "-"),
        "admin_url": reverse(page.route),
        "add_url": None,
        "view_only": True,
    }
