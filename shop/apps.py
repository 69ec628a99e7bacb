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
        between contexts.
        """
        from . import checks, links

        checks.register()
        links.register()
