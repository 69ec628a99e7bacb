from collections.abc import Iterator

import pytest

from tests.bad_input.http.server import Server
from tests.processes import database_url


@pytest.fixture(scope="package")
def server(tmp_path_factory, django_db_setup) -> Iterator[Server]:
    """A web server on the tests' own database."""
    with Server(tmp_path_factory.mktemp("server") / "web.log", database_url()) as server:
        yield server
