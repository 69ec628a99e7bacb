"""The environment of a measured shop, with a database of its own."""

import secrets
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

from shop.settings.groups import INSTANT_GATEWAY


def fresh_database(url: str, scratch: Path) -> str:
    """Make an empty database: a file, or one beside the PostgreSQL database of `url`. Return its URL."""
    if not url:
        return f"sqlite:///{scratch / 'bench.sqlite3'}"
    name = urlsplit(url).path.lstrip("/") + "_bench"
    with psycopg.connect(url.rsplit("/", 1)[0] + "/postgres", autocommit=True) as server:
        server.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        server.execute(f'CREATE DATABASE "{name}"')
    return url.rsplit("/", 1)[0] + f"/{name}"


def environment(folder: Path, database_url: str) -> dict[str, str]:
    """Return the variables of a measured shop."""
    return {
        "DATABASE_URL": database_url,
        "DJANGO_SETTINGS_MODULE": "tests.bench.settings",
        "BENCH_FOLDER": str(folder),
        "SECRET_KEY": secrets.token_urlsafe(64),
        "DEBUG": "0",
        "ALLOWED_HOSTS": "shop.example,127.0.0.1",
        "RELAY_IN_WEB": "0",
        "PAYMENT_GATEWAY": INSTANT_GATEWAY,
        "PAYMENT_WEBHOOK_SECRETS": f"whsec_{secrets.token_hex(32)}",
        "LOG_LEVEL": "ERROR",
        # Limits are not measured.
        "ORDER_MAX_OPEN_ORDERS": "1000000000",
        "THROTTLE_ACCOUNT_PER_MINUTE": "0",
        "THROTTLE_ADDRESS_PER_MINUTE": "0",
    }
