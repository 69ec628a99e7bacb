from django.apps import AppConfig


class InventoryConfig(AppConfig):
    name = "inventory"

    def ready(self) -> None:
        """
        Register what operators see of an order, and may do with it.
        """
        from . import panels

        panels.register()
