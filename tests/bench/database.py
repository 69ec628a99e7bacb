"""A database of the benchmark's own."""

from pathlib import Path
from urllib.parse import urlsplit

import psycopg


def fresh_database(url: str, scratch: Path) -> str:
    """Make an empty database: a file, or one beside the PostgreSQL database of `url`. Return its URL."""
    if not url:
        return f"sqlite:///{scratch / 'bench.sqlite3'}"
    name = urlsplit(url).path.lstrip("/") + "_bench"
    with psycopg.connect(url.rsplit("/", 1)[0] + "/postgres", autocommit=True) as server:
        server.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        server.execute(f'CREATE DATABASE "{name}"')
    return url.rsplit("/", 1)[0] + f"/{name}"
