from django.apps import AppConfig


class ShopConfig(AppConfig):
    """
    The composition root: commands, templates and static files; no models.
    """

    name = "shop"
    label = "shop_root"

    def ready(self) -> None:
        """
        Register the checks of the settings, which run with `manage.py check` and before other commands, and the links
        between contexts. Start to report errors to Sentry, and to send traces to a collector, if these are set, and
        break the demo, if that is wanted.
        """
        from django.conf import settings

        from . import checks, links
        from .monitoring import sentry, traces

        checks.register()
        links.register()
        sentry.start()
        traces.start()
        if settings.SHOP.demo and settings.SHOP.faults:
            from . import faults

            faults.break_confirmations()
