"""Headers that would change the path of a request in some servers."""

import pytest

from tests.bad_input.http.server import Server


@pytest.mark.parametrize("header", [b"SCRIPT_NAME: /x", b"SCRIPT_NAME: /api", b"PATH_INFO: /healthz"])
def test_no_header_changes_the_path(server: Server, header):
    answer = server.send(b"GET /api/v1/ HTTP/1.1\r\nHost: 127.0.0.1\r\n" + header + b"\r\n\r\n")

    assert answer.status == 200
    assert b'"http://127.0.0.1/api/v1/orders/"' in answer.body
