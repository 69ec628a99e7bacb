from django.apps import AppConfig


class NotificationsConfig(AppConfig):
    name = "notifications"

    def ready(self) -> None:
        """
        Register what operators see of an order, and may do with it.
        """
        from . import panels

        panels.register()
