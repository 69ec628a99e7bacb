"""
The pages that contexts link to in one another, by the names they use.
"""

from collections.abc import Callable

from django.urls import reverse

from shop.http import links


def register() -> None:
    links.register(
        {
            "orders": lambda: reverse("orders:order-list"),
            "order": lambda order_id: reverse("orders:order-detail", args=[order_id]),
            "payments": lambda: reverse("payments:payment-list"),
            "payments of order": lambda order_id: reverse("payments:payment-list", query={"order_id": order_id}),
            "notifications": lambda: reverse("notifications:notification-list"),
            "admin: order": _search("orders_order"),
            "admin: payment": _search("payments_paymentintent"),
            "admin: reservation": _search("inventory_reservation"),
            "admin: notifications": _search("notifications_notification"),
            "admin: messages": _search("messaging_outboxmessage"),
            "admin: deliveries": _search("messaging_delivery"),
        }
    )


def _search(model: str) -> Callable[[object], str]:
    """
    Return a function that returns the URL of the admin's search for a value among a model's rows.
    """
    return lambda value: reverse(f"admin:{model}_changelist", query={"q": value})
