"""A meter provider that can be filled, emptied and filled again.

The global meter provider can be set once, and the SDK's own is dead when it was shut down. After a
fork it tells in the child what the parent had counted, and holds the locks that another thread held
just then. So what is handed out here are instruments that record on the SDK's provider of the
moment: none, or one that was made in this process.
"""

import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from opentelemetry import metrics
from opentelemetry.metrics import _Gauge as Gauge
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

from aden.core.forks import see_through_forks
from aden.telemetry.later import hand_over

Make = Callable[[], MeterProvider]
Scope = tuple[Any, ...]
T = TypeVar("T")
_NOTHING = metrics.NoOpMeterProvider()


class OwnMeters(metrics.MeterProvider):
    """Ours: its instruments outlive a fork, an uninstrument and another set-up."""

    def __init__(self) -> None:
        self._make: Make | None = None
        self._observed: dict[tuple[Scope, str], Callable[[metrics.Meter], object]] = {}
        self._inherited: list[MeterProvider] = []
        self._begin()
        see_through_forks(self)

    def _begin(self) -> None:
        self._lock = threading.RLock()
        self._sdk: MeterProvider | None = None

    def fill(self, make: Make | None) -> None:
        """Record on what *make* gives, here and in each process that is forked from this one.

        What was recorded before is handed out. None: nothing is recorded any more.
        """
        if self._sdk is not None:
            hand_over()  # while it records on what it was counted for
        with self._lock:
            old, self._sdk, self._make = self._sdk, None, make
        if old is not None:
            old.shutdown()

    @property
    def sdk(self) -> metrics.MeterProvider:
        """What is recorded on now; made when it is first asked for in a process."""
        if self._sdk is not None:
            return self._sdk
        with self._lock:
            if self._sdk is None and self._make is not None:
                made = self._make()
                for (scope, _), observe in self._observed.items():
                    observe(made.get_meter(*scope))
                self._sdk = made
            return self._sdk or _NOTHING

    def observe(self, scope: Scope, name: str, make: Callable[[metrics.Meter], object]) -> None:
        """Have an instrument's callbacks asked; as in the SDK, the first of a name stay."""
        with self._lock:
            if (scope, name) not in self._observed:
                make(self.sdk.get_meter(*scope))
                self._observed[scope, name] = make

    def get_meter(
        self,
        name: str,
        version: str | None = None,
        schema_url: str | None = None,
        attributes: Any = None,
    ) -> metrics.Meter:
        """A meter of the scope."""
        return _Meter(self, (name, version, schema_url, attributes))

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Export what is recorded, as the SDK's own does."""
        return self._sdk is None or self._sdk.force_flush(timeout_millis)

    def shutdown(self, timeout_millis: float = 30_000) -> None:
        """What an application may ask of the global provider: record no more."""
        self.fill(None)

    def after_fork_in_child(self) -> None:
        """What was counted is the parent's, and it tells it.

        Its provider is neither ended nor destroyed here: that asks for locks that a thread of the
        parent may have held, and nobody would release.
        """
        if self._sdk is not None:
            self._inherited.append(self._sdk)
        self._begin()


class OwnReader(PeriodicExportingMetricReader):
    """Exports what this process counts; in a forked child it stays still."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._turn = threading.RLock()
        super().__init__(*args, **kwargs)

    def collect(self, timeout_millis: float = 10_000) -> None:  # type: ignore[misc] # as no lock spans both
        """Collect and export; a flush waits for what another thread has collected just then."""
        with self._turn:
            super().collect(timeout_millis)

    def _at_fork_reinit(self) -> None:
        """Start no thread again, as the SDK would."""


class _Now(Generic[T]):
    """An instrument on the SDK's provider of the moment."""

    def __init__(self, meters: OwnMeters, scope: Scope, make: Callable[[metrics.Meter], T]) -> None:
        self._meters = meters
        self._scope = scope
        self._make = make
        self._on: metrics.MeterProvider | None = None
        self.now  # noqa: B018 - a name that is not allowed is refused here

    @property
    def now(self) -> T:
        """The instrument itself."""
        sdk = self._meters.sdk
        if sdk is not self._on:
            self._made = self._make(sdk.get_meter(*self._scope))
            self._on = sdk
        return self._made


class _Counter(_Now[metrics.Counter], metrics.Counter):
    def add(self, *args: Any, **kwargs: Any) -> None:
        self.now.add(*args, **kwargs)


class _UpDownCounter(_Now[metrics.UpDownCounter], metrics.UpDownCounter):
    def add(self, *args: Any, **kwargs: Any) -> None:
        self.now.add(*args, **kwargs)


class _Histogram(_Now[metrics.Histogram], metrics.Histogram):
    def record(self, *args: Any, **kwargs: Any) -> None:
        self.now.record(*args, **kwargs)


class _SetGauge(_Now[Gauge], Gauge):
    def set(self, *args: Any, **kwargs: Any) -> None:
        self.now.set(*args, **kwargs)


class _Meter(metrics.Meter):
    """What is created with it has the SDK's arguments."""

    def __init__(self, meters: OwnMeters, scope: Scope) -> None:
        super().__init__(*scope[:3])
        self._at = (meters, scope)

    def create_counter(self, *args: Any, **kwargs: Any) -> metrics.Counter:
        return _Counter(*self._at, lambda meter: meter.create_counter(*args, **kwargs))

    def create_up_down_counter(self, *args: Any, **kwargs: Any) -> metrics.UpDownCounter:
        return _UpDownCounter(
            *self._at, lambda meter: meter.create_up_down_counter(*args, **kwargs)
        )

    def create_histogram(self, *args: Any, **kwargs: Any) -> metrics.Histogram:
        return _Histogram(*self._at, lambda meter: meter.create_histogram(*args, **kwargs))

    def create_gauge(self, *args: Any, **kwargs: Any) -> Gauge:
        return _SetGauge(*self._at, lambda meter: meter.create_gauge(*args, **kwargs))

    def create_observable_counter(
        self, name: str, *args: Any, **kwargs: Any
    ) -> metrics.ObservableCounter:
        self._observe(name, lambda at: at.create_observable_counter(name, *args, **kwargs))
        return metrics.NoOpObservableCounter(name)

    def create_observable_gauge(
        self, name: str, *args: Any, **kwargs: Any
    ) -> metrics.ObservableGauge:
        self._observe(name, lambda at: at.create_observable_gauge(name, *args, **kwargs))
        return metrics.NoOpObservableGauge(name)

    def create_observable_up_down_counter(
        self, name: str, *args: Any, **kwargs: Any
    ) -> metrics.ObservableUpDownCounter:
        self._observe(name, lambda at: at.create_observable_up_down_counter(name, *args, **kwargs))
        return metrics.NoOpObservableUpDownCounter(name)

    def _observe(self, name: str, make: Callable[[metrics.Meter], object]) -> None:
        meters, scope = self._at
        meters.observe(scope, name, make)
