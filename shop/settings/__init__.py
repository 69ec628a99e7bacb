"""
Settings, read from environment variables or the file `.env`. The defaults run a whole shop on one machine.

`.env.example` lists every variable. The shop's own settings are the groups that `shop.settings.groups` defines.
"""

from datetime import timedelta
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from shop.settings import api, groups, storage
from shop.settings.environment import Environment
from shop.settings.groups import (
    CONSOLE_EMAIL,
    CONSOLE_SMS,
    CONTEXTS,
    DUMMY_EMAIL,
    DUMMY_SMS,
    INSECURE_WEBHOOK_SECRET,
    AccountSettings,
    MessagingSettings,
    MonitoringSettings,
    NotificationSettings,
    OperatorSettings,
    OrderSettings,
    PaymentSettings,
    ServiceSettings,
    ShopSettings,
    ThrottlingSettings,
    TransportSettings,
)

CODE_DIR = Path(__file__).resolve().parent.parent.parent
# Of `.env`, databases on SQLite and static files: a checkout's own folder. An installed shop has none beside its code.
BASE_DIR = CODE_DIR if (CODE_DIR / "manage.py").exists() else Path.cwd()

env = Environment()
env.read_env(BASE_DIR / ".env")

DEBUG = env.bool("DEBUG", default=True)

DATABASE_URL = env("DATABASE_URL", default=f"sqlite:///{BASE_DIR / 'shop.sqlite3'}")
DATABASE = env.database("DATABASE_URL", default=DATABASE_URL)
SQLITE = storage.is_sqlite(DATABASE)

# --- The shop ---

SHOP = ShopSettings.from_environment(env, operator_email="operator@example.com" if DEBUG else "")
if SHOP.demo and not DEBUG:
    raise ImproperlyConfigured("DEBUG is off, and SHOP_DEMO is on: its logins are published. Remove SHOP_DEMO.")
SERVICE = ServiceSettings.from_environment(env)
ORDERS = OrderSettings.from_environment(env)
ACCOUNTS = AccountSettings.from_environment(env)
THROTTLING = ThrottlingSettings.from_environment(env)
MESSAGING = MessagingSettings.from_environment(env, relay_in_web=DEBUG and SQLITE)
TRANSPORT = TransportSettings.from_environment(env, service=SERVICE.name)
MONITORING = MonitoringSettings.from_environment(env)
OPERATOR = OperatorSettings.from_environment(env)
if OPERATOR.is_set and not SERVICE.is_whole_shop:
    raise ImproperlyConfigured("An operator's process has the databases of all contexts. Remove CONTEXTS.")
PAYMENTS = PaymentSettings.from_environment(
    env,
    webhook_secrets=(INSECURE_WEBHOOK_SECRET,) if DEBUG else (),
    simulator_ledger=str(BASE_DIR / "payment_simulator.sqlite3"),
    simulator_in_web=MESSAGING.relay_in_web,
)
NOTIFICATIONS = NotificationSettings.from_environment(
    env, sms_backend=DUMMY_SMS if SHOP.demo else CONSOLE_SMS if DEBUG else ""
)
if not DEBUG:
    PAYMENTS.require_secret_webhook_secrets()

# --- Security ---

INSECURE_SECRET_KEY = "django-insecure-only-for-trying-the-shop-on-your-own-machine"
SECRET_KEY = env("SECRET_KEY", default=INSECURE_SECRET_KEY)
if not DEBUG and (SECRET_KEY == INSECURE_SECRET_KEY or len(SECRET_KEY) < 32):
    raise ImproperlyConfigured(
        "DEBUG is off, and SECRET_KEY is the default that is published in the source code, or shorter than 32 "
        "characters. Set SECRET_KEY in the environment or in .env to a secret of this shop, for example the output of: "
        "python -c 'import secrets; print(secrets.token_urlsafe(64))'"
    )
SECRET_KEY_FALLBACKS = env.list("SECRET_KEY_FALLBACKS", default=[])

ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=[])
if not DEBUG and not ALLOWED_HOSTS:
    raise ImproperlyConfigured(
        "DEBUG is off, and ALLOWED_HOSTS is empty. Set ALLOWED_HOSTS in the environment or in .env to the shop's host "
        "names, separated by commas."
    )
CSRF_FAILURE_VIEW = "shop.http.error_handlers.csrf_failure"
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])

# Services of one shop may have the same host: the session of the accounts is not that of another service's admin.
ACCOUNTS_SESSION_COOKIE_NAME = "sessionid"
SESSION_COOKIE_NAME = ACCOUNTS_SESSION_COOKIE_NAME if SERVICE.has_accounts else f"{SERVICE.name}_sessionid"
# Not "Strict": links in mails would show their pages as if no one was logged in.
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = LANGUAGE_COOKIE_SECURE = SECURE_SSL_REDIRECT = not DEBUG
HSTS_SECONDS = env.int("HSTS_SECONDS", default=3600)
SECURE_HSTS_SECONDS = 0 if DEBUG else HSTS_SECONDS
# Load balancers and Prometheus use plain HTTP, and services ask for accounts within a private network.
SECURE_REDIRECT_EXEMPT = [r"^(healthz|livez|readyz|metrics)$", rf"^{groups.INTROSPECTION_PATH[1:]}$"]
# HSTS for subdomains and preloading are decisions of the owner of the domain.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]

SECURE_CSP = {
    "default-src": ["'none'"],
    "script-src": ["'self'"],
    "style-src": ["'self'"],
    "img-src": ["'self'", *([SHOP.picture_origin] if SHOP.picture_origin else [])],
    "font-src": ["'self'"],
    "connect-src": ["'self'"],
    "form-action": ["'self'"],
    "base-uri": ["'none'"],
    "frame-ancestors": ["'none'"],
}

AUTHENTICATION_BACKENDS = [api.authentication_backend(has_accounts=SERVICE.has_accounts)]
# Shown by authenticator apps beside the username.
OTP_TOTP_ISSUER = SHOP.name
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{validator}"}
    for validator in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
if SERVICE.has_accounts:
    AUTH_PASSWORD_VALIDATORS.append({"NAME": "shop.accounts.passwords.EndsAccess"})

# --- Django ---

INSTALLED_APPS = [
    "shop.desk.apps.DeskConfig",  # before the admin, whose templates it changes
    "shop.desk.apps.DeskAdminConfig",  # django.contrib.admin
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django_otp",
    "django_otp.plugins.otp_totp",
    "django_otp.plugins.otp_static",
    "rest_framework",
    "django_filters",
    *(["knox", "shop.accounts"] if SERVICE.has_accounts else []),
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "messaging",  # before django_q, whose command `qcluster` it replaces
    "django_q",
    "anymail",
    *[context for context in CONTEXTS if context in SERVICE.contexts],
    *(["shop.operations"] if SERVICE.is_whole_shop else []),
    "shop",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "shop.http.middleware.ContentSecurityPolicyMiddleware",
    "shop.http.middleware.LanguageMiddleware",
    "shop.http.middleware.ProblemsMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "shop.http.middleware.AppendSlashMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    api.authentication_middleware(has_accounts=SERVICE.has_accounts),
    "django.contrib.messages.middleware.MessageMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        # Searched before app directories, to override templates of Django REST framework.
        "DIRS": [CODE_DIR / "shop" / "templates"],
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
LOGIN_URL = "rest_framework:login"
LOGIN_REDIRECT_URL = LOGOUT_REDIRECT_URL = "landing"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Language and time ---

LANGUAGES = groups.LANGUAGES
# Of commands, workers and logs. Customers who ask for none of these languages get SHOP_LANGUAGE.
LANGUAGE_CODE = "en"
# They come before the translations of Django and its REST framework.
LOCALE_PATHS = [CODE_DIR / app / "locale" for app in ("shop", "orders", "payments", "notifications")]
LANGUAGE_COOKIE_AGE = int(timedelta(days=365).total_seconds())
LANGUAGE_COOKIE_HTTPONLY = True
LANGUAGE_COOKIE_SAMESITE = "Lax"
# Of the database, the API, the admin and logs. Customers read times in SHOP_TIME_ZONE.
TIME_ZONE = "UTC"
USE_TZ = True

# --- Database and cache ---

DATABASES = (
    OPERATOR.databases(env)
    if OPERATOR.is_set
    else {"default": storage.database(DATABASE, lease_seconds=MESSAGING.lease_seconds)}
)
DATABASE_ROUTERS = ["shop.operations.databases.Router"] if OPERATOR.is_set else []
REDIS_URL = env("REDIS_URL", default="")
CACHES = {"default": storage.cache(REDIS_URL)}

# --- Workers ---

# The cluster hosts the relay. Its own queue only runs periodic chores, which may be late or lost.
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
# Mail providers report hundreds of mails at once.
# Services send the headers of signed requests.
MAX_BODY_BYTES_BY_PATH = {"/api/v1/webhooks/email/": 1_000_000, groups.INTROSPECTION_PATH: 262_144}

REST_FRAMEWORK = api.REST_FRAMEWORK | {
    "NUM_PROXIES": THROTTLING.trusted_proxies,
    "DEFAULT_AUTHENTICATION_CLASSES": api.authentication_classes(has_accounts=SERVICE.has_accounts),
}
SPECTACULAR_SETTINGS = api.SPECTACULAR_SETTINGS
if "notifications" not in SERVICE.contexts:
    SPECTACULAR_SETTINGS = SPECTACULAR_SETTINGS | {"ENUM_NAME_OVERRIDES": {}}

# Secret scanners recognise tokens by their prefix.
REST_KNOX = {"TOKEN_TTL": timedelta(days=30), "TOKEN_PREFIX": "shop_"}
KNOX_TOKEN_MODEL = "shop.Token"
# Knox's migrations only create the table that shop.Token replaces.
MIGRATION_MODULES = {"knox": None}

# --- E-mail ---

EMAIL_BACKEND = env("EMAIL_BACKEND", default=DUMMY_EMAIL if SHOP.demo else CONSOLE_EMAIL)
DEFAULT_FROM_EMAIL = env("DEFAULT_FROM_EMAIL", default="The Shop <shop@example.com>")
EMAIL_TIMEOUT = env.int("EMAIL_TIMEOUT", default=NOTIFICATIONS.email_deadline_seconds)
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
# People read the lines of a shop that they develop, programs those of one in production.
LOG_FORMAT = env.one_of("LOG_FORMAT", "text", "json", default="text" if DEBUG else "json")

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"ids": {"()": "shop.http.request_id.LogIds"}},
    "formatters": {
        "text": {
            "()": "messaging.kernel.redaction.RedactingFormatter",
            "format": "%(asctime)s %(levelname)s %(name)s [%(ids)s]: %(message)s",
        },
        "json": {"()": "messaging.kernel.redaction.JsonFormatter"},
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": LOG_FORMAT, "filters": ["ids"]}},
    "root": {"handlers": ["console"], "level": LOG_LEVEL},
    "loggers": {
        # Without its default handler, because the root logger prints these lines already.
        "django": {"handlers": []},
        # django-q2 logs three lines for every task.
        "django-q": {"level": "DEBUG" if LOG_LEVEL == "DEBUG" else "WARNING"},
        # Pika logs each error that it raises, with several lines and tracebacks.
        "pika": {"level": "CRITICAL"},
    },
}
