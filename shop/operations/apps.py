from django.apps import AppConfig


class OperationsConfig(AppConfig):
    """
    Commands and audits over all contexts, where all of them are.
    """

    name = "shop.operations"
    label = "operations"

    def ready(self) -> None:
        """
        Register the subscribers of sending and receiving, whose deliveries the databases of services have, and what
        operators see of the messages of an order.
        """
        from django.conf import settings

        from messaging import inbox, sending

        from . import panels

        panels.register()
        if settings.OPERATOR.is_set:
            sending.register()
            inbox.register()
