"""One instrumented process as tests see it: its server, what it emitted, booked and showed."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import aden
from aden.core.record import CallRecord
from aden.ledger.protocol import Balance, Ledger
from aden.metering.meter import Meter
from aden.runtime import current_runtime
from aden.testing import OpenAIServer, RecordingEmitter

WIDE = "100"
"""A budget in US dollars that no test exhausts."""


class OpenSpans(SpanProcessor):
    """Knows which spans have started and not ended."""

    def __init__(self) -> None:
        self.names: dict[int, str] = {}

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        """A span has started."""
        self.names[span.get_span_context().span_id] = span.name

    def on_end(self, span: ReadableSpan) -> None:
        """A span has ended."""
        if span.context is not None:
            self.names.pop(span.context.span_id, None)


@dataclass
class House:
    """Aden in force in this process, with OpenTelemetry's own SDK behind it."""

    server: OpenAIServer
    calls: RecordingEmitter = field(default_factory=RecordingEmitter)
    exporter: InMemorySpanExporter = field(default_factory=InMemorySpanExporter)
    open_spans: OpenSpans = field(default_factory=OpenSpans)
    reader: InMemoryMetricReader = field(default_factory=InMemoryMetricReader)
    tracer_provider: Any = None
    meter_provider: Any = None

    def start(self, **options: Any) -> "House":
        """Instrument; the defaults are a wide budget in memory and own providers."""
        if self.tracer_provider is None:
            self.tracer_provider = TracerProvider(shutdown_on_exit=False)
        if callable(add := getattr(self.tracer_provider, "add_span_processor", None)):
            add(SimpleSpanProcessor(self.exporter))
            add(self.open_spans)
        if self.meter_provider is None:
            self.meter_provider = MeterProvider([self.reader], shutdown_on_exit=False)
        settings: dict[str, Any] = {
            "budgets": [aden.Budget("all", WIDE)],
            "ledger": "memory:",
            "emit_metric": self.calls,
        }
        aden.AdenInstrumentor().instrument(
            tracer_provider=self.tracer_provider,
            meter_provider=self.meter_provider,
            **(settings | options),
        )
        return self

    @property
    def meter(self) -> Meter:
        """The meter in force."""
        runtime = current_runtime()
        assert runtime is not None
        return runtime.meter

    @property
    def ledger(self) -> Ledger:
        """The ledger in force."""
        return self.meter.ledger

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        """The spans that have ended."""
        return self.exporter.get_finished_spans()

    def balance(self, budget: str = "all") -> Balance:
        """What a budget of the policy holds now; *budget* is its key."""
        budgets = {each.id: each for each in self.meter.policy().budgets}
        window = budgets[budget.partition("|")[0]].span
        (balance,) = self.ledger.balances([(budget, window)])
        return balance

    def settled(self, count: int = 1) -> tuple[CallRecord, ...]:
        """Exactly *count* calls are finished: emitted, journaled, nothing held, no span open.

        Refusals that repeat others are one record, which stands for them all.
        """
        aden.flush(5)
        records = self.calls.records
        stood_for = sum(each.repeats for each in records)
        assert stood_for == count, [(each.stream_end, each.error_type) for each in records]
        assert {each.id for each in self.ledger.journal()} == {each.id for each in records}
        assert len(list(self.ledger.journal())) == len(records)
        for budget in self.meter.policy().budgets:
            if not budget.scope:
                assert self.balance(budget.id).held == 0
        assert self.meter.leases._held == {}
        assert self.open_spans.names == {}
        return records

    def one_call(self) -> tuple[CallRecord, ReadableSpan]:
        """Exactly one call was made and settled, and one span shows it."""
        (record,) = self.settled()
        (span,) = [each for each in self.spans if each.kind is trace.SpanKind.CLIENT]
        return record, span

    def metric(self, name: str) -> list[Any]:
        """The data points of a metric."""
        data = self.reader.get_metrics_data()
        resources = data.resource_metrics if data else ()
        scopes = [scope for each in resources for scope in each.scope_metrics]
        metrics = [metric for scope in scopes for metric in scope.metrics if metric.name == name]
        return [point for metric in metrics for point in metric.data.data_points]

    def failures(self) -> dict[str, int]:
        """How often each leg of the gate could not be evaluated."""
        points = self.metric("aden.gate.failures")
        return {str(point.attributes["aden.gate.leg"]): int(point.value) for point in points}

    @contextlib.contextmanager
    def parent(self) -> Iterator[trace.SpanContext]:
        """A span of the app's own around the block; it has to be current again at its end."""
        with self.tracer_provider.get_tracer("app").start_as_current_span("app") as span:
            yield span.get_span_context()
            assert trace.get_current_span() is span
