"""Whether what is shown arrives: a test span, and an empty request for metrics and events."""

import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from opentelemetry.sdk.metrics.export import MetricsData
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from aden.doctor.finding import Finding
from aden.doctor.subject import Subject
from aden.otel.accounted import Account
from aden.otel.destinations import SIGNALS, Destinations, Signal, destinations
from aden.otel.exporters import Exporters
from aden.otel.losses import HINTS, Losses

WAIT_S = 5.0
"""An endpoint that throttles is asked again by the exporter for ten seconds; that is no news."""


@dataclass(slots=True)
class Trial:
    """One request to one endpoint."""

    signal: Signal
    name: str
    account: Account
    work: Callable[[], object]
    took_ms: float | None = None

    def run(self) -> None:
        """Send it."""
        started = time.perf_counter()
        try:
            self.work()
        finally:
            self.took_ms = (time.perf_counter() - started) * 1000


def endpoints(subject: Subject) -> Iterable[Finding]:
    """Send to every endpoint at once, and tell what came back."""
    url, key = subject.providers.url, subject.providers.key
    wanted = destinations(os.environ, url if key else None)
    totals = subject.providers.losses.totals()
    lost = {f"{signal} {cause}": items for (signal, cause), items in totals.items()}
    if not wanted:
        said = "none is configured: nothing is exported by Aden"
        yield Finding("endpoints", "telemetry", said)
    if lost:
        said = ", ".join(f"{count} {what}" for what, count in lost.items())
        yield Finding("endpoints", "lost so far", said, "warning", {"lost": lost})
    resource = getattr(subject.providers.tracer, "resource", Resource.get_empty())
    trials = list(_trials(wanted, Exporters(Losses(), url, key), resource))
    threads = [threading.Thread(target=trial.run, daemon=True) for trial in trials]
    deadline = time.monotonic() + WAIT_S
    for trial, thread in zip(trials, threads, strict=True):
        try:
            thread.start()
        except RuntimeError:  # the process ends, and Python starts no more threads
            trial.run()
    for trial, thread in zip(trials, threads, strict=True):
        if thread.ident is not None:
            thread.join(max(0.0, deadline - time.monotonic()))
        yield _told(trial)


def _trials(wanted: Destinations, exporters: Exporters, resource: Resource) -> Iterable[Trial]:
    contents: dict[Signal, Any] = {
        "traces": _test_span(resource),
        "metrics": MetricsData(resource_metrics=[]),
        "logs": [],
    }
    for signal in SIGNALS:
        for name in wanted.of(signal):
            if name in ("console", "aden_console"):
                continue
            made: Any = getattr(exporters, "spans" if signal == "traces" else signal)(name)
            if made is not None:
                yield Trial(signal, name, made.account, partial(made.export, contents[signal]))


def _told(trial: Trial) -> Finding:
    where, latest = trial.account.where, trial.account.latest
    what = f"{trial.signal} to {trial.name}"
    facts = {
        "signal": trial.signal,
        "endpoint": where,
        "cause": latest.cause,
        "rejected": latest.rejected,
        "detail": latest.detail,
        "ms": trial.took_ms and round(trial.took_ms, 1),
    }
    if trial.took_ms is None:
        known = HINTS.get(latest.cause or "")
        tried = f"; so far: {known}" if known else ""
        said = f"{where} did not take it within {WAIT_S:.0f} s{tried}"
        return Finding("endpoints", what, said, "failure", facts)
    if latest.cause is not None:
        hint = HINTS.get(latest.cause, latest.detail)
        said = f"{where} did not take it ({latest.cause.replace('_', ' ')}): {hint}"
        return Finding("endpoints", what, said, "failure", facts)
    if latest.rejected:
        said = f"{where} took it but rejected {latest.rejected}: {latest.detail}"
        return Finding("endpoints", what, said, "failure", facts)
    return Finding("endpoints", what, f"{where} took it in {trial.took_ms:.0f} ms", facts=facts)


def _test_span(resource: Resource) -> Sequence[ReadableSpan]:
    # One of its own would be made by an executor, of which there are none at a process's end.
    provider = TracerProvider(ALWAYS_ON, resource, shutdown_on_exit=False)
    tracer = provider.get_tracer("aden")
    span = tracer.start_span("aden doctor")
    span.end()
    return [span] if isinstance(span, ReadableSpan) else []
