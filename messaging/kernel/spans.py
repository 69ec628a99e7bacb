"""
Spans of OpenTelemetry, in the traces that messages carry as `traceparent`.

Only the API is a dependency. Without an SDK, `is_on` is false and nothing else happens. Names and attributes follow the
semantic conventions 1.37 for messaging. No attribute has contact data, texts of errors, or secrets.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import (
    INVALID_SPAN,
    Link,
    NonRecordingSpan,
    ProxyTracerProvider,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    Tracer,
    TracerProvider,
)

SYSTEM = "shop"
"""The value of `messaging.system` for the outbox; the conventions have none for it."""

Attributes = Mapping[str, str | int]


def is_on() -> bool:
    """
    Return whether an SDK is configured.
    """
    return not isinstance(trace.get_tracer_provider(), ProxyTracerProvider)


@contextmanager
def span(name: str, kind: SpanKind, attributes: Attributes, *, traces: Collection[str] = ()) -> Iterator[Span]:
    """
    Record the block as a span. An exception that leaves the block is its `error.type`.

    It is a child of the current span if that is of the same trace, or else of the first message. Work on messages of
    several traces begins a trace of its own. Links lead to what is not the parent, and from consumers to each message.

    :param traces: the `traceparent` of each message that the block is about; none is about the current span.
    """
    if not is_on():
        yield INVALID_SPAN
        return
    context, links = _place([*dict.fromkeys(filter(None, traces))], kind)
    with _tracer(trace.get_tracer_provider()).start_as_current_span(
        name,
        context=context,
        kind=kind,
        attributes=attributes,
        links=links,
        record_exception=False,  # its text may have contact data
        set_status_on_exception=False,
    ) as started:
        try:
            yield started
        except BaseException as error:
            mark_failed(started, type(error).__name__)
            raise


def publishing(type_: str, message_id: str, key: str, correlation_id: str, traceparent: str) -> str:
    """
    Record the publication of a message as a span, and return the `traceparent` that the message carries.

    :param traceparent: of the trace that goes on; an empty string begins one.
    """
    attributes = {
        "messaging.system": SYSTEM,
        "messaging.operation.name": "publish",
        "messaging.operation.type": "send",
        "messaging.destination.name": type_,
        "messaging.message.id": message_id,
        "messaging.message.conversation_id": correlation_id,
        "shop.message.key": key,
    }
    with span(f"publish {type_}", SpanKind.PRODUCER, attributes, traces=[traceparent]) as published:
        return traceparent_of(published) or traceparent


def processing(subscriber: str, message_ids: Collection[str]) -> Attributes:
    """
    Return the attributes of a span in which a subscriber handles these messages.
    """
    attributes: dict[str, str | int] = {
        "messaging.system": SYSTEM,
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": subscriber,
        "messaging.consumer.group.name": subscriber,
    }
    if len(message_ids) == 1:
        return attributes | {"messaging.message.id": next(iter(message_ids))}
    return attributes | {"messaging.batch.message_count": len(message_ids)}


def traceparent_of(span: Span) -> str:
    """
    Return the `traceparent` by which others become children of a span; an empty string if the SDK makes no spans.
    """
    context = span.get_span_context()
    if not context.is_valid:
        return ""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def mark_failed(span: Span, error_type: str) -> None:
    """
    Mark a span as failed.

    :param error_type: the class of the error, or a status: never its text, which may have contact data.
    """
    span.set_attribute("error.type", error_type)
    span.set_status(StatusCode.ERROR)


def _place(traces: Collection[str], kind: SpanKind) -> tuple[Context | None, list[Link]]:
    """
    Return the context in which a span begins, none for the current one, and its links.
    """
    contexts = [_context_of(traceparent) for traceparent in traces]
    current = trace.get_current_span().get_span_context()
    trace_ids = {context.trace_id for context in contexts}
    if trace_ids <= {current.trace_id}:
        parent, place = current, None
    elif len(trace_ids) == 1:
        parent, place = contexts[0], trace.set_span_in_context(NonRecordingSpan(contexts[0]), Context())
    else:
        parent, place = SpanContext(0, 0, is_remote=False), Context()
    linked = contexts if kind is SpanKind.CONSUMER else []
    if current.is_valid and current != parent:
        linked = [*linked, current]
    return place, [Link(context) for context in linked]


def _context_of(traceparent: str) -> SpanContext:
    return SpanContext(
        trace_id=int(traceparent[3:35], 16),
        span_id=int(traceparent[36:52], 16),
        is_remote=True,
        trace_flags=TraceFlags(int(traceparent[53:55], 16)),
    )


@lru_cache(maxsize=2)
def _tracer(provider: TracerProvider) -> Tracer:
    return provider.get_tracer("shop")
