"""
Traces: spans of every process are sent to the collector at OTEL_EXPORTER_OTLP_ENDPOINT, over OTLP by HTTP.
"""

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from opentelemetry import trace

from messaging.kernel import spans


def start() -> None:
    """
    Send spans, if OTEL_EXPORTER_OTLP_ENDPOINT is set and no other SDK is. The SDK reads its other variables itself,
    such as OTEL_TRACES_SAMPLER and OTEL_EXPORTER_OTLP_HEADERS. A collector that is down delays nothing.

    :raises ImproperlyConfigured: if the library is not installed.
    """
    if not settings.MONITORING.otlp_endpoint or spans.is_on():
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # optional dependencies
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise ImproperlyConfigured(
            "OTEL_EXPORTER_OTLP_ENDPOINT is set, but install requirements-otlp.lock first."
        ) from error
    resource = Resource.create({"service.name": settings.SERVICE.name, "service.namespace": settings.TRANSPORT.prefix})
    provider = TracerProvider(resource=resource, shutdown_on_exit=True)
    endpoint = f"{settings.MONITORING.otlp_endpoint.rstrip('/')}/v1/traces"
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
    trace.set_tracer_provider(provider)
