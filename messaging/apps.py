from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules


class MessagingConfig(AppConfig):
    name = "messaging"

    def ready(self) -> None:
        """
        Register lookups and the subscribers of all contexts, and run the relay in django-q2's workers.
        """
        from . import host
        from .kernel import lookups

        lookups.register()
        autodiscover_modules("handlers")
        host.attach_to_cluster()
