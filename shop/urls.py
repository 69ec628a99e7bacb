from collections.abc import Iterator

from django.conf import settings
from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

from shop import elsewhere, index
from shop.http import error_handlers
from shop.monitoring import views as monitoring
from shop.openapi.views import OpenApiView, RedocPage, SwaggerPage

admin.site.site_header = admin.site.site_title = settings.SHOP.name

OF_CONTEXTS = {
    "orders": [("", "shop.accounts.urls"), ("api/v1/", "orders.urls")],
    "inventory": [("api/v1/", "inventory.urls")],
    "payments": [("api/v1/", "payments.urls")],
    "notifications": [
        ("api/v1/", "notifications.urls"),
        ("unsubscribe/", "notifications.pages"),
        ("sent/", "notifications.mailbox"),
    ],
}


def _of_contexts() -> Iterator[URLPattern | URLResolver]:
    for context, modules in OF_CONTEXTS.items():
        if context in settings.SERVICE.contexts:
            yield from (path(prefix, include(module)) for prefix, module in modules)
        else:
            yield from elsewhere.URLS[context]


urlpatterns = [
    path("", index.StartPage.as_view(), name="landing"),
    *([path("tour/", include("shop.tour"))] if settings.SERVICE.is_whole_shop else []),
    path("problems/", index.problems, name="problems"),
    path("healthz", index.healthz, name="healthz"),
    path("livez", monitoring.livez, name="livez"),
    path("readyz", monitoring.readyz, name="readyz"),
    path("metrics", monitoring.metrics, name="metrics"),
    path("admin/", admin.site.urls),
    path("api/v1/", index.Root.as_view(), name="api-root"),
    path("api/v1/schema/", OpenApiView.as_view(), name="schema"),
    path("api/v1/docs/", SwaggerPage.as_view(), name="docs"),
    path("api/v1/redoc/", RedocPage.as_view(), name="redoc"),
    *_of_contexts(),
]

handler400 = error_handlers.bad_request
handler403 = error_handlers.permission_denied
handler404 = error_handlers.not_found
handler500 = error_handlers.server_error
