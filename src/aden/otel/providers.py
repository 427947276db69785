"""Tracer, meter and logger providers: those that are there, or ours where there is need."""

import os
import weakref
from dataclasses import dataclass, field
from typing import Any

from opentelemetry import _logs, metrics, trace
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import DropAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from aden.otel.accounted import AccountedSpanProcessor
from aden.otel.destinations import Destinations, destinations
from aden.otel.exit import Background
from aden.otel.exporters import Exporters
from aden.otel.losses import Losses
from aden.otel.open_spans import OpenSpans
from aden.otel.sampler import KeptSpans, sampler_named
from aden.otel.span_processor import BudgetSpanProcessor
from aden.telemetry import names

_WITHOUT_LIVEKITS = View(
    meter_name="livekit-agents",
    instrument_name="gen_ai.client.*",
    aggregation=DropAggregation(),
)
"""LiveKit counts model calls by the conventions' names too, without those that were cut off."""
EXPORT_EVERY_MS = 1000
"""A job process that is killed loses at most what came in this time."""


@dataclass(slots=True)
class Providers:
    """What this process exports through."""

    tracer: Any
    meter: Any
    owned: bool
    """True where the providers are ours: nobody else flushes them."""
    logger: Any = None
    """Ours, or None: as the application set it."""
    url: str | None = None
    key: str | None = field(default=None, repr=False)
    losses: Losses = field(default_factory=Losses)
    tells_frameworks: bool = False
    """True where what frameworks tell of model calls is dropped, and we tell it instead."""
    exporting: BatchSpanProcessor | None = None
    """What we added to a tracer provider of the application's."""
    open_spans: OpenSpans | None = None
    _flushing: Background | None = None

    def begin_flush(self) -> Background:
        """Start to export what is queued; what was begun and is stuck is not begun again."""
        if self._flushing is None or not self._flushing.running:
            each = (self.tracer, self.meter, self.logger)
            flushes = (getattr(provider, "force_flush", None) for provider in each)
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
            if self.logger is not None:
                self.logger.shutdown()


_attached: "weakref.WeakSet[Any]" = weakref.WeakSet()
"""Providers that have a `BudgetSpanProcessor`: the SDK knows no way to take one back."""
_made: Providers | None = None
"""The providers that we made in this process."""


def no_export() -> Providers:
    """The providers that are there, nothing added."""
    return Providers(trace.get_tracer_provider(), metrics.get_meter_provider(), owned=False)


def set_up(
    url: str | None,
    key: str | None,
    tracer: Any = None,
    meter: Any = None,
    *,
    livekit_metrics: bool = False,
) -> Providers:
    """Attach to the providers that are there; make our own where none is and something is to send.

    Without anything to send the global providers stay unset, so that the app may set its own.

    Args:
        url: Base URL of an Aden server.
        key: Its key.
        tracer: The provider to attach to; None: the global one.
        meter: The provider of metrics; None: the global one.
        livekit_metrics: Leave LiveKit's own metrics of model calls in our meter provider.
    """
    global _made  # noqa: PLW0603 - the SDK's global providers can be set once
    current = tracer or trace.get_tracer_provider()
    if _made is not None and current is _made.tracer and (meter is None or meter is _made.meter):
        return _made  # by the zero-code launch, before anything was imported
    wanted = destinations(os.environ, server=bool(url and key))
    losses = Losses()
    exporters = Exporters(losses, url, key)
    if isinstance(current, trace.ProxyTracerProvider) and wanted:
        made = _made = _ours(wanted, exporters, livekit_metrics=livekit_metrics)
    else:
        made = _theirs(current, meter, exporters, sends=bool(url and key))
    made.url, made.key, made.losses = url, key, losses
    _add_processor(made.tracer)
    _show_losses(made)
    return made


def _theirs(current: Any, meter: Any, exporters: Exporters, *, sends: bool) -> Providers:
    """The application's own; spans go to an Aden server as well, where there is one."""
    exporting = None
    if sends and callable(add := getattr(current, "add_span_processor", None)):
        exporting = _batched(exporters, "aden")
        if exporting is not None:
            add(exporting)
    meter = meter or metrics.get_meter_provider()
    return Providers(current, meter, owned=False, exporting=exporting)


def _ours(wanted: Destinations, exporters: Exporters, *, livekit_metrics: bool) -> Providers:
    resource = Resource.create({"telemetry.distro.name": "aden-py"})
    open_spans = OpenSpans()
    sampler = sampler_named(os.environ)
    tracer = TracerProvider(sampler, resource, shutdown_on_exit=False)
    tracer.add_span_processor(open_spans)
    for name in wanted.traces:
        if (spans := _batched(exporters, name)) is not None:
            tracer.add_span_processor(KeptSpans(spans) if sampler else spans)
    meter = MeterProvider(
        _readers(wanted, exporters),
        resource=resource,
        shutdown_on_exit=False,
        views=() if livekit_metrics else (_WITHOUT_LIVEKITS,),
    )
    trace.set_tracer_provider(tracer)
    metrics.set_meter_provider(meter)
    logger = _logger(wanted, exporters, resource)
    return Providers(
        tracer,
        meter,
        owned=True,
        logger=logger,
        tells_frameworks=not livekit_metrics and metrics.get_meter_provider() is meter,
        open_spans=open_spans,
    )


def _batched(exporters: Exporters, name: str) -> BatchSpanProcessor | None:
    exporter = exporters.spans(name)
    return None if exporter is None else AccountedSpanProcessor(exporter, EXPORT_EVERY_MS)


def _readers(wanted: Destinations, exporters: Exporters) -> list[MetricReader]:
    made = (exporters.metrics(name) for name in wanted.metrics)
    return [
        PeriodicExportingMetricReader(exporter, export_interval_millis=EXPORT_EVERY_MS)
        for exporter in made
        if exporter is not None
    ]


def _logger(wanted: Destinations, exporters: Exporters, resource: Resource) -> Any:
    """Ours where events are to be sent and nobody else has set one."""
    made = [exporter for name in wanted.logs if (exporter := exporters.logs(name)) is not None]
    if not made or type(_logs.get_logger_provider()).__name__ != "ProxyLoggerProvider":
        return None
    provider = LoggerProvider(resource=resource, shutdown_on_exit=False)
    for exporter in made:
        provider.add_log_record_processor(
            BatchLogRecordProcessor(exporter, schedule_delay_millis=EXPORT_EVERY_MS)
        )
    _logs.set_logger_provider(provider)
    return provider


def _add_processor(tracer: Any) -> None:
    if callable(add := getattr(tracer, "add_span_processor", None)) and tracer not in _attached:
        add(BudgetSpanProcessor())
        _attached.add(tracer)


def _show_losses(made: Providers) -> None:
    meter = made.meter.get_meter("aden")
    meter.create_observable_counter(
        names.METRIC_LOST,
        [made.losses.observe],
        unit="{item}",
        description="Spans, data points and events that were not delivered.",
    )
