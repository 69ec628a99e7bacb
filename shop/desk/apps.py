from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig
from django.utils.module_loading import autodiscover_modules


class DeskConfig(AppConfig):
    """
    The operator's desk, in every service; no models. Its templates replace those of Django's admin.
    """

    name = "shop.desk"
    label = "desk"


class DeskAdminConfig(AdminConfig):
    """
    Django's admin with the operator's desk as its site: `admin.site` is a `DeskSite`.
    """

    default_site = "shop.desk.site.DeskSite"

    def ready(self) -> None:
        """
        Register the pages of the admin, what each context reports to the desk, and then the outbox. Unregister the
        pages of django-otp, which show the keys of second factors.
        """
        super().ready()
        from django.contrib import admin
        from django_otp.plugins.otp_static.models import StaticDevice
        from django_otp.plugins.otp_totp.models import TOTPDevice

        admin.site.unregister([StaticDevice, TOTPDevice])
        autodiscover_modules("desk")
        from shop.desk import outbox  # noqa: F401  (it registers itself)
