from django.apps import AppConfig


class ShopConfig(AppConfig):
    """
    The composition root: commands, templates and static files, but no models.
    """

    name = "shop"
    label = "shop_root"

    def ready(self) -> None:
        """
        Register the checks of the settings, which run with `manage.py check` and before other commands.
        """
        from . import checks

        checks.register()
