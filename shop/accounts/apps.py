from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """
    The accounts context. Its label is "shop": tables, migrations and permissions are stored under that name.
    """

    name = "shop.accounts"
    label = "shop"
