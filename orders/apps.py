from django.apps import AppConfig


class OrdersConfig(AppConfig):
    name = "orders"

    def ready(self) -> None:
        """
        Register what operators see of an order, and may do with it.
        """
        from . import panels

        panels.register()
