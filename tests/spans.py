"""
Spans as the SDK of OpenTelemetry records them.
"""

from collections.abc import Sequence

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


class Recorded:
    """
    What has been recorded so far.
    """

    def __init__(self, exporter: InMemorySpanExporter) -> None:
        self._exporter = exporter

    @property
    def all(self) -> Sequence[ReadableSpan]:
        return self._exporter.get_finished_spans()

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.all if span.name == name]

    def path_to(self, span: ReadableSpan) -> list[str]:
        """
        Return the names of the spans that lead to this one from the root of its trace, and its own.
        """
        by_id = {each.context.span_id: each for each in self.all}
        names = [span.name]
        while span.parent and span.parent.span_id in by_id:
            span = by_id[span.parent.span_id]
            names.insert(0, span.name)
        return names


def trace_ids(spans: Sequence[ReadableSpan]) -> set[int]:
    return {span.context.trace_id for span in spans}


def linked_from(span: ReadableSpan) -> set[int]:
    """
    Return the ids of the spans that this one links to.
    """
    return {link.context.span_id for link in span.links}
