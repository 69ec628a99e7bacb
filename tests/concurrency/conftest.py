import os
from collections.abc import Iterator
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.db import DEFAULT_DB_ALIAS, connections


@pytest.fixture(scope="class")
def database_url(tmp_path_factory, django_db_blocker) -> Iterator[str]:
    """
    Use a database of its own, which other processes can open, too; yield its URL.
    """
    usual = connections[DEFAULT_DB_ALIAS]
    if usual.vendor == "postgresql":
        name = f"shop_torture_{uuid4().hex[:8]}"
        url = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}").geturl()
    else:
        name = str(tmp_path_factory.mktemp("torture") / "shop.sqlite3")
        url = f"sqlite:///{name}"
    with django_db_blocker.unblock():
        _administer(usual, f"CREATE DATABASE {name}")
        own = connections[DEFAULT_DB_ALIAS] = type(usual)(usual.settings_dict | {"NAME": name}, DEFAULT_DB_ALIAS)
        try:
            call_command("migrate", verbosity=0)
            yield url
        finally:
            own.close()
            connections[DEFAULT_DB_ALIAS] = usual
            _administer(usual, f"DROP DATABASE {name} WITH (FORCE)")


def _administer(database, statement: str) -> None:
    if database.vendor == "postgresql":
        with database._nodb_cursor() as cursor:
            cursor.execute(statement)
