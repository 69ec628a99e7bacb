import gzip
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.messaging.concurrency import in_thread
from tests.processes import Finished, run

EMAIL, PHONE, TOKEN = "quux+canary@mail.example.net", "+441134969999", "shop_" + 8 * "0123abcd"

PROGRAM = """
import logging, django
django.setup()
from django.test import Client
from shop import index
def fail(*_, **__): raise ValueError("no page for quux+canary@mail.example.net, shop_" + 8 * "0123abcd")
index.render = fail
Client(raise_request_exception=False).get(
    "/problems/", {"q": "quux+canary@mail.example.net"}, headers={"X-Phone": "+441134969999", "Cookie": "a=cookies"}
)
logging.getLogger("shop").error("To %s", "+441134969999")
logging.getLogger("shop").warning("only a warning")
Client(raise_request_exception=False).get("/problems/", headers={"Host": "another.example"})
"""


@contextmanager
def sentry() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """
    Run a server of Sentry during the block; yield the DSN of a project, and the events that it receives.
    """
    events: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            _, *items = gzip.decompress(body).splitlines()
            kinds = [json.loads(kind)["type"] for kind in items[::2]]
            events.extend(json.loads(event) for kind, event in zip(kinds, items[1::2], strict=True) if kind == "event")
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Keep the output of the tests clean."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server, in_thread(server.serve_forever):
        try:
            yield f"http://key@127.0.0.1:{server.server_port}/1", events
        finally:
            server.shutdown()


def run_with(dsn: str) -> Finished:
    variables = {"DJANGO_SETTINGS_MODULE": "shop.settings", "DEBUG": "on", "ALLOWED_HOSTS": "testserver"}
    return run([sys.executable, "-c", PROGRAM], SENTRY_DSN=dsn, **variables)


class TestSentry:
    def test_receives_unexpected_errors_without_contact_data_and_secrets(self):
        with sentry() as (dsn, events):
            finished = run_with(dsn)

        assert finished.status == 0, finished.errors
        of_request, of_log = events
        assert of_request["exception"]["values"][-1]["value"] == "no page for (address), shop_(secret)"
        assert len(of_request["tags"]["request_id"]) == 32
        assert of_request["server_name"] == "shop"
        assert of_log["logentry"]["params"] == ["(number)"]
        texts = json.dumps(events)
        assert [text for text in (EMAIL, "canary", PHONE, TOKEN, "a=cookies", "vars") if text in texts] == []

    def test_is_not_needed(self):
        assert "sentry" not in run_with("").errors.lower()

    @pytest.mark.parametrize("dsn", ["sentry", "https://sentry.example.com/1", "ftp://key@sentry.example.com/1"])
    def test_with_an_invalid_address_ends_the_process(self, dsn):
        assert "ImproperlyConfigured: SENTRY_DSN cannot be read" in run_with(dsn).errors
