import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.messaging.concurrency import in_thread
from tests.processes import Finished, run

PROGRAM = """
import django
django.setup()
from django.test import Client
assert Client().get("/livez").status_code == 200
"""


@contextmanager
def collector() -> Iterator[tuple[str, dict[str, ExportTraceServiceRequest]]]:
    """
    Run a collector during the block; yield its endpoint, and what it receives by path.
    """
    received: dict[str, ExportTraceServiceRequest] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received[self.path] = ExportTraceServiceRequest.FromString(body)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Keep the output of the tests clean."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server, in_thread(server.serve_forever):
        try:
            yield f"http://127.0.0.1:{server.server_port}", received
        finally:
            server.shutdown()


def run_with(**variables: str) -> Finished:
    fixed = {"DJANGO_SETTINGS_MODULE": "shop.settings", "DEBUG": "on", "ALLOWED_HOSTS": "testserver"}
    return run([sys.executable, "-c", PROGRAM], **fixed | variables)


def test_spans_are_sent_to_the_collector():
    with collector() as (endpoint, received):
        finished = run_with(OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, CONTEXTS="orders,payments")

    assert finished.status == 0, finished.errors
    [resource_spans] = received["/v1/traces"].resource_spans
    resource = {each.key: each.value.string_value for each in resource_spans.resource.attributes}
    assert (resource["service.name"], resource["service.namespace"]) == ("orders-payments", "shop")
    [[span]] = [scope.spans for scope in resource_spans.scope_spans]
    assert span.name == "GET /livez"


def test_a_missing_library_ends_the_process_with_a_sentence():
    hidden = "import sys; sys.modules['opentelemetry.exporter.otlp.proto.http.trace_exporter'] = None\n"
    variables = {"DJANGO_SETTINGS_MODULE": "shop.settings", "DEBUG": "on"}

    finished = run([sys.executable, "-c", hidden + PROGRAM], OTEL_EXPORTER_OTLP_ENDPOINT="http://c:4318", **variables)

    assert finished.status == 1
    assert "OTEL_EXPORTER_OTLP_ENDPOINT is set, but install requirements-otlp.lock first." in finished.errors
