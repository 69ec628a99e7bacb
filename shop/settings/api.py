"""
Settings of Django REST framework and of the API description.
"""

from typing import Any

REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer", "shop.http.renderers.ShopPages"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "shop.http.negotiation.Negotiation",
    "DEFAULT_PARSER_CLASSES": ["shop.http.parsers.StrictJSONParser", "shop.http.parsers.SessionFormParser"],
    # Escaped in a JSON pointer as "~0", so no field name collides with it.
    "NON_FIELD_ERRORS_KEY": "~",
    "EXCEPTION_HANDLER": "shop.http.error_handlers.handle_api_exception",
    "DEFAULT_SCHEMA_CLASS": "shop.openapi.schema.ShopSchema",
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_THROTTLE_CLASSES": ["shop.http.throttling.RequestThrottle"],
    "DEFAULT_PAGINATION_CLASS": "shop.http.pagination.ShopPagination",
    "DEFAULT_FILTER_BACKENDS": ["shop.http.filters.StrictFilters"],
    "PAGE_SIZE": 50,
}

SPECTACULAR_SETTINGS: dict[str, Any] = {
    "TITLE": "The shop's API",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "ENUM_SUFFIX": "",
    "ENUM_NAME_OVERRIDES": {"PreferenceKind": "notifications.preferences.KINDS"},
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "GET_LIB_DOC_EXCLUDES": "shop.openapi.schema.undocumented",
    "PARSER_WHITELIST": ["shop.http.parsers.StrictJSONParser"],
    "POSTPROCESSING_HOOKS": ["drf_spectacular.hooks.postprocess_schema_enums", "shop.openapi.schema.complete"],
    "SERVE_AUTHENTICATION": [],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
}


def authentication_classes(*, has_accounts: bool) -> list[str]:
    """
    Return the classes that authenticate requests, where the accounts are or elsewhere.
    """
    by_token = (
        "accounts.authentication.TokenAuthentication" if has_accounts else "accounts_elsewhere.TokenIntrospection"
    )
    return [f"shop.{by_token}", "shop.http.authentication.BySession"]


def authentication_middleware(*, has_accounts: bool) -> str:
    """
    Return the middleware that authenticates people by their session.
    """
    if has_accounts:
        return "django.contrib.auth.middleware.AuthenticationMiddleware"
    return "shop.accounts_elsewhere.SessionIntrospectionMiddleware"


def authentication_backend(*, has_accounts: bool) -> str:
    """
    Return the class that checks passwords and permissions.
    """
    if has_accounts:
        return "shop.http.authentication.ThrottledModelBackend"
    return "shop.accounts_elsewhere.PermissionsByUsername"
