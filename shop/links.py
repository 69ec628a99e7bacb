"""
The pages that contexts link to in one another, by the names they use.
"""

from collections.abc import Callable

from django.apps import apps
from django.conf import settings
from django.urls import reverse

from shop.http import links


def register() -> None:
    links.register(
        {
            "orders": lambda: reverse("orders:order-list"),
            "order": lambda order_id: reverse("orders:order-detail", args=[order_id]),
            "payments": lambda: reverse("payments:payment-list"),
            "payments of order": lambda order_id: reverse("payments:payment-list", query={"order_id": order_id}),
            "forgotten password": lambda: reverse("forgotten-password"),
            "password reset": lambda token: reverse("password-reset", args=[token]),
            "sign up": lambda: reverse("sign-up") if settings.ACCOUNTS.sign_up else "",
            "confirm sign-up": lambda token: reverse("sign-up-confirmation", args=[token]),
            "preferences": lambda: reverse("notifications:preferences"),
            "unsubscribe": lambda token: reverse("unsubscribe", args=[token]),
            "notifications": lambda: reverse("notifications:notification-list"),
            "sent messages": lambda: reverse("mailbox:list") if settings.DEBUG else "",
            "admin: messages": _search("messaging_outboxmessage"),
            "admin: deliveries": _search("messaging_delivery"),
            "admin: delivery": lambda delivery_id: reverse("admin:messaging_delivery_change", args=[delivery_id]),
        }
    )
    if apps.is_installed("orders"):
        links.register({"admin: order": lambda order_id: reverse("admin:orders_order_change", args=[order_id])})
    if apps.is_installed("shop.operations"):
        links.register({"admin: violations": lambda: reverse("admin:operations_auditviolation_changelist")})
    links.register({page: _search(model) for page, model in _SEARCHES if apps.is_installed(model.partition("_")[0])})


_SEARCHES = [
    ("admin: payment", "payments_paymentintent"),
    ("admin: reservation", "inventory_reservation"),
    ("admin: notifications", "notifications_notification"),
]
"""Pages of the admin, which shows what its own service has."""


def _search(model: str) -> Callable[[object], str]:
    """
    Return a function that returns the URL of the admin's search for a value among a model's rows.
    """
    return lambda value: reverse(f"admin:{model}_changelist", query={"q": value})
