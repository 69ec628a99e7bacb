from django.apps import AppConfig


class ShopConfig(AppConfig):
    name = "shop"

    def ready(self) -> None:
        """
        Have `manage.py check`, and every command before it starts, judge the settings.
        """
        from . import checks

        checks.register()
