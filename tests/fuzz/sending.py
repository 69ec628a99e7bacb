"""
One run: `python -m tests.fuzz.sending REQUESTS RESULTS` sends a list of requests to the WSGI application on a temporary
database, and writes the status and the fault of each response.
"""

import json
import os
import sys
import traceback
from collections.abc import Callable, Iterable
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import django

MEMBERS = {"type", "title", "status", "detail", "code", "request_id"}
NOT_READY = "/readyz", 503
"""No worker runs."""


def main(requests: Path, results: Path) -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.fuzz.settings"
    django.setup()
    from django.db import connection

    created = connection.creation.create_test_db(verbosity=0, serialize=False)
    try:
        results.write_text(json.dumps(_send_all(json.loads(requests.read_text()))))
    finally:
        connection.creation.destroy_test_db(created, verbosity=0)


def _send_all(requests: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    from shop.wsgi import application
    from tests.fuzz import fixed_rows

    fixed_rows.build()
    return [_send(application, _signed(request)) for request in requests]


def _signed(request: dict[str, Any]) -> dict[str, Any]:
    """Sign a webhook, whose timestamp must be recent."""
    from django.conf import settings

    from tests.webhooks import signed

    headers = request["headers"]
    if headers.get("webhook-signature") != "good":
        return request
    secret, body = settings.PAYMENTS.webhook_secrets[0], request["body"].encode("latin-1")
    signature = signed(body, secret=secret, event_id=headers["webhook-id"])
    return request | {"headers": signature | headers | {"webhook-signature": signature["webhook-signature"]}}


def _send(application: Callable[..., Iterable[bytes]], request: dict[str, Any]) -> dict[str, Any]:
    """Send a request, and return the status of its response and its fault, if any."""
    started: list[Any] = []
    try:
        body = b"".join(application(_environ(**request), lambda *arguments: started.extend(arguments)))
    except Exception:  # noqa: BLE001  (any exception is a fault)
        return {"status": 500, "fault": traceback.format_exc()}
    status, headers = int(started[0][:3]), {name.lower(): value for name, value in started[1]}
    return {"status": status, "fault": _fault(request, status, headers, body)}


def _environ(method: str, path: str, query: str, headers: dict[str, str], body: str) -> dict[str, Any]:
    """Return the WSGI environment of a request."""
    named = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}
    plain = {name: named.pop(f"HTTP_{name}") for name in ("CONTENT_TYPE", "CONTENT_LENGTH") if f"HTTP_{name}" in named}
    sent = body.encode("latin-1")
    return {
        "REQUEST_METHOD": method,
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query,
        "SERVER_NAME": "testserver",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "CONTENT_LENGTH": str(len(sent)),
        "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO(sent),
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        **plain,
        **named,
    }


def _fault(request: dict[str, Any], status: int, headers: dict[str, str], body: bytes) -> str:
    from shop.http.error_codes import CATALOGUE

    media_type = headers.get("content-type", "")
    if status >= 500:
        return "" if (request["path"], status) == NOT_READY else "server error"
    wants_page = "text/" in request["headers"].get("Accept", "") or "format=api" in request["query"]
    if status < 400 or (wants_page and media_type.startswith("text/html")):
        return ""
    if media_type != "application/problem+json":
        return f"an error as {media_type}"
    if request["method"] == "HEAD":
        return ""
    problem = json.loads(body)
    entry = CATALOGUE.get(problem["code"])
    if problem.keys() - {"errors"} != MEMBERS or problem["request_id"] != headers["x-request-id"]:
        return f"malformed problem: {problem}"
    return "" if entry and entry.status == problem["status"] == status else f"{status} with {problem['code']}"


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
