"""
Every setting comes from the environment (or a file `.env`), each with a default that runs a whole shop on this machine.

`.env.example` lists them all.
"""

from datetime import timedelta
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from shop.environment import Environment
from shop.settings.groups import (
    INSECURE_WEBHOOK_SECRET,
    AccountSettings,
    MessagingSettings,
    OrderSettings,
    PaymentSettings,
    ShopSettings,
    ThrottlingSettings,
)

BASE_DIR = Path(__file__).resolve().parent.parent.parent

env = Environment()
env.read_env(BASE_DIR / ".env")

DEBUG = env.bool("DEBUG", default=True)

DATABASE = env.database("DATABASE_URL", default=f"sqlite:///{BASE_DIR / 'shop.sqlite3'}")
SQLITE = DATABASE["ENGINE"] == "django.db.backends.sqlite3"

# --- The shop ---

SHOP = ShopSettings.from_environment(env, operator_email="operator@example.com" if DEBUG else "")
ORDERS = OrderSettings.from_environment(env)
ACCOUNTS = AccountSettings.from_environment(env)
THROTTLING = ThrottlingSettings.from_environment(env)
MESSAGING = MessagingSettings.from_environment(env, relay_in_web=DEBUG and SQLITE)
PAYMENTS = PaymentSettings.from_environment(
    env,
    webhook_secrets=(INSECURE_WEBHOOK_SECRET,) if DEBUG else (),
    simulator_ledger=str(BASE_DIR / "payment_simulator.sqlite3"),
    simulator_in_web=MESSAGING.relay_in_web,
)
if not DEBUG:
    PAYMENTS.require_secret_webhook_secrets()

# --- Security ---

INSECURE_SECRET_KEY = "django-insecure-only-for-trying-the-shop-on-your-own-machine"
SECRET_KEY = env("SECRET_KEY", default=INSECURE_SECRET_KEY)
if not DEBUG and (SECRET_KEY == INSECURE_SECRET_KEY or len(SECRET_KEY) < 32):
    raise ImproperlyConfigured(
        "DEBUG is off, and SECRET_KEY is the one everybody can read in the source, or shorter than 32 characters. Set "
        "SECRET_KEY in the environment or in .env to a secret of this shop, for example the output of: "
        "python -c 'import secrets; print(secrets.token_urlsafe(64))'"
    )
SECRET_KEY_FALLBACKS = env.list("SECRET_KEY_FALLBACKS", default=[])

ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=[])
if not DEBUG and not ALLOWED_HOSTS:
    raise ImproperlyConfigured(
        "DEBUG is off, and this shop answers to no host name. Set ALLOWED_HOSTS in the environment or in .env to its "
        "names, separated by commas."
    )
CSRF_FAILURE_VIEW = "shop.http.error_handlers.csrf_failure"
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])

SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = not DEBUG
SECURE_HSTS_SECONDS = 0 if DEBUG else env.int("HSTS_SECONDS", default=3600)
# A load balancer asks for the health over plain HTTP, from inside.
SECURE_REDIRECT_EXEMPT = [r"^healthz$"]
# Whether every subdomain speaks HTTPS is for the owner of the domain to know, not for one shop on it.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]

AUTHENTICATION_BACKENDS = ["shop.accounts.authentication.ThrottledModelBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{validator}"}
    for validator in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

# --- Django ---

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "rest_framework",
    "django_filters",
    "knox",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_q",
    "anymail",
    "messaging",
    "orders",
    "inventory",
    "payments",
    "notifications",
    "shop.accounts",
    "shop",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "shop.http.middleware.ProblemsMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "shop.http.middleware.AppendSlashMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        # Before those of Django REST framework, some of which the shop has in its own look.
        "DIRS": [BASE_DIR / "shop" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

ROOT_URLCONF = "shop.urls"
WSGI_APPLICATION = "shop.wsgi.application"
LOGIN_REDIRECT_URL = LOGOUT_REDIRECT_URL = "landing"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LANGUAGE_CODE = "en-gb"
TIME_ZONE = "UTC"
USE_TZ = True

# --- Database and cache ---

DATABASE_OPTIONS = (
    {
        # A transaction that starts as a reader and turns writer fails at once with "database is locked", whatever the
        # timeout; and an accepted order must survive a power cut, hence FULL.
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
    }
    if SQLITE
    # A worker frozen in mid-transaction must not keep its row locks beyond its lease.
    else {"options": f"-c idle_in_transaction_session_timeout={MESSAGING.lease_seconds * 1000}"}
)

DATABASES = {
    "default": DATABASE
    | {
        "CONN_MAX_AGE": None,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": DATABASE_OPTIONS | DATABASE.get("OPTIONS", {}),
        # A file, for tests of concurrency: connections to a database in memory take no turns.
        "TEST": {"NAME": f"{DATABASE['NAME']}.test.sqlite3"} if SQLITE else {},
    }
}

REDIS_URL = env("REDIS_URL", default="")
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        # Every request asks it: one that hangs must not make them hang.
        "OPTIONS": {"socket_connect_timeout": 0.5, "socket_timeout": 0.5},
    }
    if REDIS_URL
    # Room for as many callers as an attacker may pretend to be.
    else {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "OPTIONS": {"MAX_ENTRIES": 100_000}}
}

# --- Workers ---

# The cluster hosts the relay; its own queue carries nothing but daily chores, so it may be slow and forgetful.
Q_CLUSTER = {
    "name": "shop",
    "label": "Background chores",
    "orm": "default",
    "workers": MESSAGING.relay_workers,
    "guard_cycle": 0.2,
    "poll": 1,
    "timeout": 300,
    "retry": 600,
    "max_attempts": 3,
    "ack_failures": True,
    "save_limit": -1,
    "catch_up": False,
}

# --- API ---

# An error code that is not in the catalogue raises instead of being logged.
STRICT_ERROR_CODES = DEBUG

MAX_BODY_BYTES = env.int("API_MAX_BODY_BYTES", default=65_536)

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "shop.accounts.authentication.TokenAuthentication",
        "shop.accounts.authentication.SessionAuthentication",
    ],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer", "shop.http.renderers.ShopPages"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "shop.http.negotiation.Negotiation",
    "DEFAULT_PARSER_CLASSES": ["shop.http.parsers.StrictJSONParser", "shop.http.parsers.SessionFormParser"],
    # No field's name, once it is written as a step of a JSON pointer.
    "NON_FIELD_ERRORS_KEY": "~",
    "EXCEPTION_HANDLER": "shop.http.error_handlers.handle_api_exception",
    "DEFAULT_SCHEMA_CLASS": "shop.openapi.schema.ShopSchema",
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_THROTTLE_CLASSES": ["shop.http.throttling.RequestThrottle"],
    "NUM_PROXIES": THROTTLING.trusted_proxies,
    "DEFAULT_PAGINATION_CLASS": "shop.http.pagination.Pages",
    "DEFAULT_FILTER_BACKENDS": ["shop.http.filters.StrictFilters"],
    "PAGE_SIZE": 50,
}

SPECTACULAR_SETTINGS = {
    "TITLE": "The shop's API",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "ENUM_SUFFIX": "",
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "GET_LIB_DOC_EXCLUDES": "shop.openapi.schema.undocumented",
    "PARSER_WHITELIST": ["shop.http.parsers.StrictJSONParser"],
    "POSTPROCESSING_HOOKS": ["drf_spectacular.hooks.postprocess_schema_enums", "shop.openapi.schema.complete"],
    "SERVE_AUTHENTICATION": [],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
}

# The prefix lets scanners for secrets know one when they see it.
REST_KNOX = {"TOKEN_TTL": timedelta(days=30), "TOKEN_PREFIX": "shop_"}
KNOX_TOKEN_MODEL = "shop.Token"
# They make nothing but the table that ours replaces.
MIGRATION_MODULES = {"knox": None}

# --- E-mail ---

EMAIL_BACKEND = env("EMAIL_BACKEND", default="anymail.backends.console.EmailBackend")
DEFAULT_FROM_EMAIL = env("DEFAULT_FROM_EMAIL", default="The Shop <shop@example.com>")
# A provider that hangs has to give up before MESSAGING_HANDLER_LIMIT_SECONDS ends its worker.
EMAIL_TIMEOUT = env.int("EMAIL_TIMEOUT", default=10)
ANYMAIL = {"REQUESTS_TIMEOUT": EMAIL_TIMEOUT} | env.json_object("ANYMAIL")
EMAIL_HOST = env("EMAIL_HOST", default="localhost")
EMAIL_PORT = env.int("EMAIL_PORT", default=25)
EMAIL_HOST_USER = env("EMAIL_HOST_USER", default="")
EMAIL_HOST_PASSWORD = env("EMAIL_HOST_PASSWORD", default="")
EMAIL_USE_TLS = env.bool("EMAIL_USE_TLS", default=False)
EMAIL_USE_SSL = env.bool("EMAIL_USE_SSL", default=False)

# --- Static files ---

STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
WHITENOISE_USE_FINDERS = WHITENOISE_AUTOREFRESH = DEBUG
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}

# --- Logging ---

LOG_LEVEL = env.log_level("LOG_LEVEL", default="INFO")

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"request_id": {"()": "shop.http.request_id.RequestId"}},
    "formatters": {"plain": {"format": "%(asctime)s %(levelname)s %(name)s [%(request_id)s]: %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "plain", "filters": ["request_id"]}},
    "root": {"handlers": ["console"], "level": LOG_LEVEL},
    "loggers": {
        # Without a handler of its own, or each line would be told twice.
        "django": {"handlers": []},
        # django-q2 tells every task three times.
        "django-q": {"level": "DEBUG" if LOG_LEVEL == "DEBUG" else "WARNING"},
    },
}
