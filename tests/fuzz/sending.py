"""
One run: `python -m tests.fuzz.sending REQUESTS FINDINGS` sends a list of requests to a shop on a database of its own,
which is gone afterwards, and writes down what it was answered.
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


def main(requests: Path, findings: Path) -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.fuzz.settings"
    django.setup()
    from django.db import connection

    created = connection.creation.create_test_db(verbosity=0, serialize=False)
    try:
        findings.write_text(json.dumps(_send_all(json.loads(requests.read_text()))))
    finally:
        connection.creation.destroy_test_db(created, verbosity=0)


def _send_all(requests: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    from shop.wsgi import application
    from tests.fuzz import scene

    scene.build()
    return [_send(application, _signed(request)) for request in requests]


def _signed(request: dict[str, Any]) -> dict[str, Any]:
    """
    Sign what is to be sent as the payment gateway's, which cannot be done any sooner.
    """
    from django.conf import settings

    from tests.webhooks import signed

    headers = request["headers"]
    if headers.get("webhook-signature") != "good":
        return request
    secret, body = settings.PAYMENTS.webhook_secrets[0], request["body"].encode("latin-1")
    good = signed(body, secret=secret, event_id=headers["webhook-id"])
    return request | {"headers": good | headers | {"webhook-signature": good["webhook-signature"]}}


def _send(application: Callable[..., Iterable[bytes]], request: dict[str, Any]) -> dict[str, Any]:
    """
    Send a request, and tell the status of its answer and what is wrong with it.
    """
    begun: list[Any] = []
    try:
        body = b"".join(application(_environ(**request), lambda *told: begun.extend(told)))
    except Exception:  # noqa: BLE001  (whatever it is, it is a finding)
        return {"status": 500, "fault": traceback.format_exc()}
    status, headers = int(begun[0][:3]), {name.lower(): value for name, value in begun[1]}
    return {"status": status, "fault": _fault(request, status, headers, body)}


def _environ(method: str, path: str, query: str, headers: dict[str, str], body: str) -> dict[str, Any]:
    """
    Write a request as the web server does.
    """
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

    kind = headers.get("content-type", "")
    if status >= 500:
        return "it failed"
    wants_page = "text/" in request["headers"].get("Accept", "") or "format=api" in request["query"]
    if status < 400 or (wants_page and kind.startswith("text/html")):
        return ""
    if kind != "application/problem+json":
        return f"an error as {kind}"
    if request["method"] == "HEAD":
        return ""
    told = json.loads(body)
    known = CATALOGUE.get(told["code"])
    if told.keys() - {"errors"} != MEMBERS or told["request_id"] != headers["x-request-id"]:
        return f"no problem: {told}"
    return "" if known and known.status == told["status"] == status else f"{status} with {told['code']}"


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
