from django.conf import settings
from django.contrib import admin
from django.urls import include, path
from django.views.generic import TemplateView
from drf_spectacular.views import SpectacularRedocView, SpectacularSwaggerView
from rest_framework.routers import SimpleRouter

from shop import index
from shop.accounts import api
from shop.http import problems
from shop.openapi.views import Schema

admin.site.site_header = admin.site.site_title = settings.SHOP.name

router = SimpleRouter()
router.register("tokens", api.TokenViewSet, basename="token")
router.register("signing-keys", api.SigningKeyViewSet, basename="signing-key")

urlpatterns = [
    path("", TemplateView.as_view(template_name="shop/landing.html"), name="landing"),
    path("problems/", problems.catalogue, name="problems"),
    path("healthz", index.healthz, name="healthz"),
    path("admin/", admin.site.urls),
    path("api/auth/", include("rest_framework.urls")),
    path("api/v1/", index.Root.as_view(), name="api-root"),
    path("api/v1/schema/", Schema.as_view(), name="schema"),
    path("api/v1/docs/", SpectacularSwaggerView.as_view(metadata_class=None), name="docs"),
    path("api/v1/redoc/", SpectacularRedocView.as_view(metadata_class=None), name="redoc"),
    path("api/v1/", include(router.urls)),
    path("api/v1/", include("orders.urls")),
    path("api/v1/", include("inventory.urls")),
    path("api/v1/", include("payments.urls")),
    path("api/v1/", include("notifications.urls")),
]

handler400 = problems.bad_request
handler403 = problems.permission_denied
handler404 = problems.not_found
handler500 = problems.server_error
