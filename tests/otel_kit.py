"""OpenTelemetry's own SDK in memory, and all that arrived in it as plain values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from aden.telemetry.telemetry import CountedIn

TIMES = ("gen_ai.response.time_to_first_chunk",)
"""Attributes that no two runs share."""


@dataclass
class Sdk:
    """Providers of one instrumentation, and what it emitted through them."""

    exporter: InMemorySpanExporter = field(default_factory=InMemorySpanExporter)
    reader: InMemoryMetricReader = field(default_factory=InMemoryMetricReader)
    logs: InMemoryLogRecordExporter = field(default_factory=InMemoryLogRecordExporter)

    def __post_init__(self) -> None:
        self.tracer_provider = TracerProvider(shutdown_on_exit=False)
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.meter_provider = MeterProvider([self.reader], shutdown_on_exit=False)
        self.logger_provider = LoggerProvider(shutdown_on_exit=False)
        self.logger_provider.add_log_record_processor(SimpleLogRecordProcessor(self.logs))

    @property
    def counted_in(self) -> tuple[CountedIn]:
        """For telemetry of ours."""
        return (CountedIn(self.meter_provider),)

    @property
    def providers(self) -> dict[str, Any]:
        """For an instrumentor's ``instrument()``, or a handler."""
        return {
            "tracer_provider": self.tracer_provider,
            "meter_provider": self.meter_provider,
            "logger_provider": self.logger_provider,
        }

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        """The spans that have ended."""
        return self.exporter.get_finished_spans()

    def shown_spans(self) -> list[dict[str, Any]]:
        """Each span: name, kind, status, and its attributes with their types."""
        return [
            {
                "name": span.name,
                "kind": span.kind.name,
                "status": (span.status.status_code.name, span.status.description),
                "schema": span.instrumentation_scope and span.instrumentation_scope.schema_url,
                "attributes": typed(dict(span.attributes or {})),
            }
            for span in self.spans
        ]

    def shown_metrics(self) -> dict[str, Any]:
        """Each histogram of the conventions: unit, description, and its points."""
        data = self.reader.get_metrics_data()
        shown: dict[str, Any] = {}
        for resource in data.resource_metrics if data else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    if metric.name.startswith("gen_ai."):
                        shown[metric.name] = (
                            metric.unit,
                            metric.description,
                            sorted(_point(each, metric.unit) for each in metric.data.data_points),
                        )
        return shown

    def shown_events(self) -> list[dict[str, Any]]:
        """Each log record: event name, attributes, and whether it names the span."""
        return [
            {
                "name": each.log_record.event_name,
                "attributes": typed(dict(each.log_record.attributes or {})),
                "of_span": each.log_record.span_id
                in {span.context.span_id for span in self.spans if span.context},
            }
            for each in self.logs.get_finished_logs()
        ]


def typed(attributes: dict[str, Any]) -> dict[str, tuple[str, Any]]:
    """Values with their types; of what no two runs share, the type alone; none of ours."""
    return {
        name: (type(value).__name__, None if name in TIMES else value)
        for name, value in attributes.items()
        if not name.startswith("aden.")
    }


def _point(point: Any, unit: str | None) -> tuple[Any, ...]:
    total = point.sum if unit == "{token}" else None  # no two runs take the same time
    attributes = sorted(typed(dict(point.attributes)).items())
    return attributes, point.count, total, tuple(point.explicit_bounds)
