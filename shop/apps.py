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
        between contexts. Start to report errors to Sentry, if that is set, and break the demo, if that is wanted.
        """
        from django.conf import settings

        from . import checks, links
        from .monitoring import sentry

        checks.register()
        links.register()
        sentry.start()
        if settings.SHOP.demo and settings.SHOP.faults:
            from . import faults

            faults.break_confirmations()
