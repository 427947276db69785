"""Tracer and meter providers: the ones that are there, or ours where there is something to send."""

import os
import weakref
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from opentelemetry import metrics, trace
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider, UpDownCounter
from opentelemetry.sdk.metrics.export import AggregationTemporality, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter

from aden.otel.content import PrivateExporter, captured_on_spans
from aden.otel.destinations import sends_anything
from aden.otel.exit import Background
from aden.otel.open_spans import OpenSpans
from aden.otel.span_processor import BudgetSpanProcessor

EXPORT_EVERY_MS = 1000
"""A job process that is killed loses at most what came in this time."""

# A job process lives for one call: what it counted must not look like a reset to its reader.
_DELTA: dict[type, AggregationTemporality] = {
    Counter: AggregationTemporality.DELTA,
    Histogram: AggregationTemporality.DELTA,
    UpDownCounter: AggregationTemporality.CUMULATIVE,
}


@dataclass(slots=True)
class Providers:
    """What this process exports through."""

    tracer: Any
    meter: Any
    owned: bool
    """True where the providers are ours: nobody else flushes them."""
    url: str | None = None
    key: str | None = field(default=None, repr=False)
    exporting: BatchSpanProcessor | None = None
    """What we added to a provider of the application's."""
    open_spans: OpenSpans | None = None
    _flushing: Background | None = None

    def begin_flush(self) -> Background:
        """Start to export what is queued; what was begun and is stuck is not begun again."""
        if self._flushing is None or not self._flushing.running:
            flushes = (getattr(each, "force_flush", None) for each in (self.tracer, self.meter))
            self._flushing = Background(*(flush for flush in flushes if callable(flush)))
        return self._flushing

    def end_open_spans(self) -> None:
        """The process ends: what is open now, nobody will end any more."""
        if self.open_spans is not None:
            self.open_spans.end_all()

    def shutdown(self) -> None:
        """Stop exporting. A provider of the application's goes on without us."""
        if self.exporting is not None:
            self.exporting.shutdown()  # type: ignore[no-untyped-call]
        if self.owned:
            self.tracer.shutdown()
            self.meter.shutdown()


_attached: "weakref.WeakSet[Any]" = weakref.WeakSet()
"""Providers that have a `BudgetSpanProcessor`: the SDK knows no way to take one back."""

_made: Providers | None = None
"""The providers that we made in this process."""


def no_export() -> Providers:
    """The providers that are there, nothing added."""
    return Providers(trace.get_tracer_provider(), metrics.get_meter_provider(), owned=False)


def set_up(url: str | None, key: str | None, tracer: Any = None, meter: Any = None) -> Providers:
    """Attach to the providers that are there; make our own where none is and something is to send.

    Without anything to send the global providers stay unset, so that the app may set its own.
    """
    global _made  # noqa: PLW0603 - the SDK's global providers can be set once
    current = tracer or trace.get_tracer_provider()
    if _made is not None and current is _made.tracer and (meter is None or meter is _made.meter):
        return _made  # by the zero-code launch, before anything was imported
    open_spans, exporting = None, None
    if isinstance(current, trace.ProxyTracerProvider) and sends_anything(os.environ, url, key):
        open_spans = OpenSpans()
        current, meter = _ours(url, key, open_spans)
    owned = open_spans is not None
    if callable(add := getattr(current, "add_span_processor", None)):
        if current not in _attached:
            add(BudgetSpanProcessor())
            _attached.add(current)
        if not owned and url and key:
            exporter = _span_exporter(url, key)
            exporting = BatchSpanProcessor(exporter, schedule_delay_millis=EXPORT_EVERY_MS)
            add(exporting)
    made = Providers(
        current,
        meter or metrics.get_meter_provider(),
        owned,
        url=url,
        key=key,
        exporting=exporting,
        open_spans=open_spans,
    )
    if owned:
        _made = made
    return made


def _ours(
    url: str | None, key: str | None, open_spans: OpenSpans
) -> tuple[TracerProvider, MeterProvider]:
    resource = Resource.create({"telemetry.distro.name": "aden-py"})
    spans = BatchSpanProcessor(_span_exporter(url, key), schedule_delay_millis=EXPORT_EVERY_MS)
    tracer = TracerProvider(resource=resource, shutdown_on_exit=False)
    tracer.add_span_processor(open_spans)
    tracer.add_span_processor(spans)
    reader = PeriodicExportingMetricReader(
        _metric_exporter(url, key), export_interval_millis=EXPORT_EVERY_MS
    )
    meter = MeterProvider([reader], resource=resource, shutdown_on_exit=False)
    trace.set_tracer_provider(tracer)
    metrics.set_meter_provider(meter)
    return tracer, meter


def _span_exporter(url: str | None, key: str | None) -> SpanExporter:
    exporter = _otlp_span_exporter(url, key)
    return exporter if captured_on_spans() else PrivateExporter(exporter)


def _otlp_span_exporter(url: str | None, key: str | None) -> OTLPSpanExporter:
    if not (url and key):
        return OTLPSpanExporter()  # as the OTEL_* variables say
    return OTLPSpanExporter(
        endpoint=_signal(url, "traces"),
        headers={"authorization": f"Bearer {key}"},
        compression=Compression.Gzip,
    )


def _metric_exporter(url: str | None, key: str | None) -> OTLPMetricExporter:
    if not (url and key):
        if os.environ.get("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"):
            return OTLPMetricExporter()
        return OTLPMetricExporter(preferred_temporality=dict(_DELTA))
    return OTLPMetricExporter(
        endpoint=_signal(url, "metrics"),
        headers={"authorization": f"Bearer {key}"},
        compression=Compression.Gzip,
        preferred_temporality=dict(_DELTA),
    )


def _signal(url: str, signal: str) -> str:
    parts = urlsplit(url)
    scheme = {"ws": "http", "wss": "https"}.get(parts.scheme, parts.scheme)
    return urlunsplit((scheme, parts.netloc, f"{parts.path.rstrip('/')}/v1/{signal}", "", ""))
