from django.apps import AppConfig


class PaymentsConfig(AppConfig):
    name = "payments"

    def ready(self) -> None:
        """
        Register what operators see of an order, and may do with it.
        """
        from . import panels

        panels.register()
