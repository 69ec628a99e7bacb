import os
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from django.db import connection

from tests.bad_input.http.server import Server


@pytest.fixture(scope="package")
def server(tmp_path_factory, django_db_setup) -> Iterator[Server]:
    """
    A web server on the tests' own database.
    """
    name = connection.settings_dict["NAME"]
    if connection.vendor == "postgresql":
        url = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}").geturl()
    else:
        url = f"sqlite:///{name}"
    with Server(tmp_path_factory.mktemp("server"), url).running() as server:
        yield server
