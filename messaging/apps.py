from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules


class MessagingConfig(AppConfig):
    name = "messaging"

    def ready(self) -> None:
        """
        Register lookups and the subscribers of all contexts, and run the relay in django-q2's workers. With a broker,
        register the subscribers of sending and receiving too.
        """
        from django.conf import settings

        from . import host
        from .kernel import lookups

        lookups.register()
        autodiscover_modules("handlers")
        if settings.TRANSPORT.url:
            from . import inbox, sending

            sending.register()
            inbox.register()
        host.attach_to_cluster()
