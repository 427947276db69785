"""Tracer, meter and logger providers: those that are there, or ours where there is need.

Each of the three for itself: an application may have set one and not the others.
"""

import os
import time
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from opentelemetry import _logs, metrics, trace
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.view import DropAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

from aden.instrumentation.livekit.providers import is_for_cloud, records_to_cloud
from aden.otel.accounted import AccountedSpanProcessor
from aden.otel.destinations import Destinations, Signal, at, destinations
from aden.otel.exit import Background
from aden.otel.exporters import Exporters
from aden.otel.losses import Losses, show_losses
from aden.otel.meters import OwnMeters, OwnReader
from aden.otel.open_spans import OpenSpans
from aden.otel.parts import sends_to
from aden.otel.sampler import KeptSpans, sampler_named
from aden.otel.slots import LogSlot, SpanSlot
from aden.otel.span_processor import BudgetSpanProcessor
from aden.telemetry.later import hand_over
from aden.telemetry.telemetry import CountedIn

_WITHOUT_LIVEKITS = View(
    meter_name="livekit-agents",
    instrument_name="gen_ai.client.*",
    aggregation=DropAggregation(),
)
"""LiveKit counts model calls by the conventions' names too, without those that were cut off."""
EXPORT_EVERY_MS = 1000
"""A job process that is killed loses at most what came in this time."""
END_S = 2.0
"""So long is waited for exporters that are taken away; an endpoint may not answer."""


@dataclass(slots=True)
class Providers:
    """What this process exports through."""

    tracer: Any
    meter: Any
    logger: Any = None
    """Ours, or None: as the application set it."""
    tracer_is_ours: bool = False
    meter_is_ours: bool = False
    beside: OwnMeters | None = None
    """Counts what the application's meter provider counts, for an Aden server."""
    livekit_metrics: bool = False
    """True where LiveKit's own metrics of model calls stay in our meter provider."""
    url: str | None = None
    key: str | None = field(default=None, repr=False)
    wanted: Destinations = field(default_factory=Destinations)
    losses: Losses = field(default_factory=Losses)
    ended: bool = False
    _flushing: Background | None = None

    @property
    def counted_in(self) -> Sequence[CountedIn]:
        """Where calls are counted.

        LiveKit's own metrics of model calls are dropped in our meter provider, and never come to
        the one beside an application's: there we tell of LiveKit's calls as well.
        """
        tells = self.meter_is_ours and not self.livekit_metrics
        at = (CountedIn(self.meter, tells),)
        return at if self.beside is None else (*at, CountedIn(self.beside, True))

    def is_as(self, other: "Providers") -> bool:
        """Whether setting this up would come to what *other* is."""
        return (
            not other.ended
            and self.tracer is other.tracer
            and self.meter is other.meter
            and (self.url, self.key, self.wanted) == (other.url, other.key, other.wanted)
        )

    def begin_flush(self) -> Background:
        """Start to export what is queued; what was begun and is stuck is not begun again."""
        if self._flushing is None or not self._flushing.running:
            hand_over()  # a provider that is not the SDK's may never ask for it
            parts = [part for slot in self._slots() for part in slot.now]
            each = (self.tracer, self.meter, self.beside, self.logger, *parts)
            flushes = (getattr(one, "force_flush", None) for one in each)
            self._flushing = Background(*(flush for flush in flushes if callable(flush)))
        return self._flushing

    def give_up(self) -> None:
        """The process ends: what is stuck in a flush is not waited for again by anybody."""
        if self._flushing is not None and self._flushing.running:
            for slot in self._slots():
                slot.patience_s = 0.0

    def _slots(self) -> Sequence[SpanSlot | LogSlot]:
        """Our places in the providers."""
        spans = [slot for provider, slot in _slots if provider() is self.tracer]
        return [*spans, _own.events] if self.logger is not None else spans

    def end_open_spans(self) -> None:
        """The process ends: what is open now, nobody will end any more."""
        if self.tracer_is_ours:
            _own.open_spans.end_all()

    def shutdown(self) -> None:
        """Stop exporting. The providers stay, ours empty: the global ones can be set once."""
        self.ended = True
        ends = [partial(slot.fill, ()) for slot in self._slots()]
        meters = [self.meter if self.meter_is_ours else None, self.beside]
        stops = [partial(each.fill, None) for each in meters if each is not None]
        Background(*ends, *stops).wait(time.monotonic() + END_S)


class _Own:
    """The providers that we made in this process; each is made once and set as the global one."""

    def __init__(self) -> None:
        self.tracer: TracerProvider | None = None
        self.open_spans = OpenSpans()
        self.sampler = False
        self.meters: OwnMeters | None = None
        self.livekit_metrics = False
        self.logger: LoggerProvider | None = None
        self.events = LogSlot()
        self.private = False
        """The global meter and logger providers are left to LiveKit."""

    def counting(self) -> metrics.MeterProvider:
        """The meter provider that is there."""
        there = metrics.get_meter_provider()
        return self.meters if self.meters and _is_free(there, "_ProxyMeterProvider") else there


_own = _Own()
_slots: "list[tuple[weakref.ref[Any], SpanSlot]]" = []
"""Tracer providers that we are attached to, and our place in them."""
_latest: Providers | None = None


def no_export() -> Providers:
    """The providers that are there, nothing added."""
    return Providers(trace.get_tracer_provider(), metrics.get_meter_provider())


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
    What was set up before is replaced, unless it is the same. Where LiveKit records to its cloud,
    our meter and logger providers stay private: LiveKit sets its own as the global ones, or takes
    a logger provider that it finds for what was said on the call.

    Args:
        url: Base URL of an Aden server.
        key: Its key.
        tracer: The provider to attach to; None: the global one.
        meter: The provider of metrics; None: the global one.
        livekit_metrics: Leave LiveKit's own metrics of model calls in our meter provider.
    """
    global _latest  # noqa: PLW0603 - what exports in this process
    wanted = destinations(os.environ, url if key else None)
    _own.private = records_to_cloud(os.environ) and not livekit_metrics
    made = Providers(
        tracer or trace.get_tracer_provider(),
        meter or _own.counting(),
        url=url,
        key=key,
        wanted=wanted,
    )
    if _latest is not None:
        if made.is_as(_latest):
            return _latest
        _latest.shutdown()
    exporters = Exporters(made.losses, url, key)
    _set_up_spans(made, wanted, exporters)
    _set_up_metrics(made, wanted, exporters, livekit_metrics=livekit_metrics)
    _set_up_events(made, wanted, exporters)
    show_losses(made.losses, [each.meter_provider for each in made.counted_in])
    _latest = made
    return made


def _set_up_spans(made: Providers, wanted: Destinations, exporters: Exporters) -> None:
    names = wanted.traces
    if isinstance(made.tracer, trace.ProxyTracerProvider) and names:
        made.tracer = _own_tracer()
    made.tracer_is_ours = made.tracer is _own.tracer
    if not made.tracer_is_ours:
        names = _to_aden(made.tracer, made, "traces")
    if (slot := _slot_in(made.tracer)) is not None:
        exporting = [each for name in names if (each := _batched(exporters, name)) is not None]
        kept = made.tracer_is_ours and _own.sampler
        slot.fill([KeptSpans(each) for each in exporting] if kept else exporting)


def _own_tracer() -> TracerProvider:
    if _own.tracer is None:
        sampler = sampler_named(os.environ)
        _own.sampler = sampler is not None
        _own.tracer = TracerProvider(sampler, _resource(), shutdown_on_exit=False)
        _own.tracer.add_span_processor(_own.open_spans)
        trace.set_tracer_provider(_own.tracer)
    return _own.tracer


def _slot_in(tracer: Any) -> SpanSlot | None:
    """Our place in a provider, which also gets our processor; None: it takes none."""
    found = next((slot for provider, slot in _slots if provider() is tracer), None)
    if found is None and callable(add := getattr(tracer, "add_span_processor", None)):
        found = SpanSlot()
        add(found)
        add(BudgetSpanProcessor())
        _slots.append((weakref.ref(tracer), found))
    return found


def _batched(exporters: Exporters, name: str) -> SpanProcessor | None:
    exporter = exporters.spans(name)
    return None if exporter is None else AccountedSpanProcessor(exporter, EXPORT_EVERY_MS)


def _to_aden(provider: Any, made: Providers, signal: Signal) -> tuple[str, ...]:
    """What we add to a provider of the application's: nothing but the way to an Aden server."""
    if not made.url or not made.key or sends_to(provider, at(made.url, signal)):
        return ()
    return ("aden",)


def _set_up_metrics(
    made: Providers, wanted: Destinations, exporters: Exporters, *, livekit_metrics: bool
) -> None:
    if _is_free(made.meter, "_ProxyMeterProvider") and wanted.metrics:
        made.meter = _own_meters(livekit_metrics=livekit_metrics)
    made.meter_is_ours = made.meter is _own.meters
    made.livekit_metrics = _own.livekit_metrics
    if made.meter_is_ours:
        made.meter.fill(partial(_metered, exporters, wanted.metrics))
    elif names := _to_aden(made.meter, made, "metrics"):
        # Not a reader in the application's own: its views would change what is counted, and its
        # other metrics would leave as well.
        made.beside = OwnMeters()
        made.beside.fill(partial(_metered, exporters, names))


def _own_meters(*, livekit_metrics: bool) -> OwnMeters:
    if _own.meters is None:
        _own.meters, _own.livekit_metrics = OwnMeters(), livekit_metrics
        if not _own.private:
            metrics.set_meter_provider(_own.meters)
    return _own.meters


def _metered(exporters: Exporters, names: Sequence[str]) -> MeterProvider:
    made = (exporters.metrics(name) for name in names)
    return MeterProvider(
        [
            OwnReader(exporter, export_interval_millis=EXPORT_EVERY_MS)
            for exporter in made
            if exporter is not None
        ],
        resource=_resource(),
        shutdown_on_exit=False,
        views=() if _own.livekit_metrics else (_WITHOUT_LIVEKITS,),
    )


def _set_up_events(made: Providers, wanted: Destinations, exporters: Exporters) -> None:
    """Through ours where events are to be sent and nobody else has set one."""
    current: Any = _logs.get_logger_provider()
    if _is_free(current, "ProxyLoggerProvider") and wanted.logs:
        current = _own_logger()
    if _own.logger is None or current is not _own.logger:
        return
    made.logger = _own.logger
    exporting = (exporters.logs(name) for name in wanted.logs)
    _own.events.fill(
        [
            BatchLogRecordProcessor(exporter, schedule_delay_millis=EXPORT_EVERY_MS)
            for exporter in exporting
            if exporter is not None
        ]
    )


def _own_logger() -> LoggerProvider:
    if _own.logger is None:
        _own.logger = LoggerProvider(resource=_resource(), shutdown_on_exit=False)
        _own.logger.add_log_record_processor(_own.events)
        if not _own.private:
            _logs.set_logger_provider(_own.logger)
    return _own.logger


def _is_free(provider: Any, proxy: str) -> bool:
    """Whether nobody but LiveKit, for its cloud, has set a global provider."""
    return type(provider).__name__ == proxy or (_own.private and is_for_cloud(provider))


def _resource() -> Resource:
    return Resource.create({"telemetry.distro.name": "aden-py"})
