from django.conf import settings
from django.contrib import admin
from django.urls import include, path
from django.views.generic import TemplateView
from rest_framework.routers import SimpleRouter

from shop import index
from shop.accounts import api
from shop.http import error_handlers
from shop.openapi.views import OpenApiView, RedocPage, SwaggerPage

admin.site.site_header = admin.site.site_title = settings.SHOP.name

router = SimpleRouter()
router.register("tokens", api.TokenViewSet, basename="token")
router.register("signing-keys", api.SigningKeyViewSet, basename="signing-key")

urlpatterns = [
    path("", TemplateView.as_view(template_name="shop/landing.html"), name="landing"),
    path("problems/", index.problems, name="problems"),
    path("healthz", index.healthz, name="healthz"),
    path("admin/", admin.site.urls),
    path("api/auth/", include("rest_framework.urls")),
    path("api/v1/", index.Root.as_view(), name="api-root"),
    path("api/v1/schema/", OpenApiView.as_view(), name="schema"),
    path("api/v1/docs/", SwaggerPage.as_view(), name="docs"),
    path("api/v1/redoc/", RedocPage.as_view(), name="redoc"),
    path("api/v1/", include("orders.urls")),
    path("api/v1/", include(router.urls)),
    path("api/v1/", include("inventory.urls")),
    path("api/v1/", include("payments.urls")),
    path("api/v1/", include("notifications.urls")),
]

handler400 = error_handlers.bad_request
handler403 = error_handlers.permission_denied
handler404 = error_handlers.not_found
handler500 = error_handlers.server_error
