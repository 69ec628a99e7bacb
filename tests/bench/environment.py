"""The environment of a measured shop, with a database of its own."""

import secrets
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

from shop.settings.groups import INSTANT_GATEWAY


def fresh_database(url: str, scratch: Path) -> str:
    """Make an empty database: a file, or one beside the PostgreSQL database of `url`. Return its URL."""
    own = kept_database(url) if url else f"sqlite:///{scratch / 'bench.sqlite3'}"
    empty_database(own)
    return own


def kept_database(url: str) -> str:
    """Return the URL of the bench's own PostgreSQL database, beside that of `url`."""
    return f"{url}_bench"


def empty_database(url: str) -> None:
    """Make an empty database of this URL, after dropping the one that is there."""
    drop_database(url)
    parts = urlsplit(url)
    if parts.scheme != "sqlite":
        _execute_beside(url, "CREATE DATABASE")


def copy_database(template: str, url: str) -> None:
    """Make a copy of a PostgreSQL database to which no process is connected, as the one of this URL."""
    drop_database(url)
    _execute_beside(url, "CREATE DATABASE", f'TEMPLATE "{urlsplit(template).path.lstrip("/")}"')


def drop_database(url: str) -> None:
    """Drop the database of this URL if it is there."""
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        for suffix in ("", "-wal", "-shm"):
            Path(parts.path[1:] + suffix).unlink(missing_ok=True)
    else:
        _execute_beside(url, "DROP DATABASE IF EXISTS", "WITH (FORCE)")


def _execute_beside(url: str, command: str, options: str = "") -> None:
    """Execute a command about a database in another one of its server."""
    parts = urlsplit(url)
    with psycopg.connect(parts._replace(path="/postgres").geturl(), autocommit=True) as server:
        server.execute(f'{command} "{parts.path.lstrip("/")}" {options}')


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
        # No limit is reached.
        "NOTIFICATIONS_PER_HOUR": "1000000000",
        # Its count grows with the orders of a customer, and few customers place all orders here.
        "NOTIFICATIONS_PER_RECIPIENT_PER_HOUR": "0",
        "ORDER_MAX_OPEN_ORDERS": "1000000000",
        "THROTTLE_ACCOUNT_PER_MINUTE": "0",
        "THROTTLE_ADDRESS_PER_MINUTE": "0",
    }
