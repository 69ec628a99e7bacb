"""
The settings that the worker refuses; how it buffers requests is tested with bad input, by a real server.
"""

import sys

import pytest

from tests.processes import run

WORKER = "shop.server.gunicorn_worker.BufferingThreadWorker"
COMMAND = (sys.executable, "-m", "gunicorn", "shop.wsgi", "--worker-class", WORKER, "--bind", "127.0.0.1:0")


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        (["--http2-cleartext", "prior-knowledge"], "start it without --http2-cleartext"),
        (["--http2-cleartext", "upgrade"], "start it without --http2-cleartext"),
        (["--proxy-protocol", "auto"], "let TLS and the PROXY protocol end before the shop"),
        (["--certfile", "Makefile", "--keyfile", "Makefile"], "let TLS and the PROXY protocol end before the shop"),
    ],
)
def test_refuses_to_start_with_a_protocol_it_does_not_read(options, hint):
    finished = run([*COMMAND, *options])

    assert finished.status == 1
    assert finished.errors.strip().endswith(f"This worker reads plain HTTP/1.1: {hint}.")
