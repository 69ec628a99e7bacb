from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules


class MessagingConfig(AppConfig):
    name = "messaging"

    def ready(self) -> None:
        """
        Register the subscribers of all contexts, and run the relay in django-q2's workers.
        """
        from . import host

        autodiscover_modules("handlers")
        host.attach_to_cluster()
