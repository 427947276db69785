"""Which of OpenTelemetry's parts are installed and live, and who brought them."""

import os
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import EntryPoint, entry_points, packages_distributions, version
from typing import Any

from opentelemetry import _logs, metrics, trace

from aden.doctor.finding import Finding, Level
from aden.doctor.subject import Subject
from aden.otel.parts import chain, is_set, parts_of
from aden.telemetry.telemetry import SCHEMA_URL

_AUTO = "opentelemetry.instrumentation.auto_instrumentation"


def opentelemetry(subject: Subject) -> Iterable[Finding]:
    """Versions, how this process was launched, instrumentors, providers."""
    sdk = version("opentelemetry-sdk")
    said = f"API {version('opentelemetry-api')}, SDK {sdk}, semantic conventions {SCHEMA_URL}"
    yield Finding("opentelemetry", "versions", said, facts={"sdk": sdk, "schema_url": SCHEMA_URL})
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        said = "OTEL_SDK_DISABLED=true: nothing is shown; budgets hold"
        yield Finding("opentelemetry", "SDK", said, "warning")
    live = any(name.startswith(_AUTO) for name in sys.modules)
    said = "by opentelemetry-instrument" if live else "without opentelemetry-instrument"
    yield Finding("opentelemetry", "launched", said, facts={"auto_instrumentation": live})
    yield _chosen("distro", "OTEL_PYTHON_DISTRO", live=live)
    yield _chosen("configurator", "OTEL_PYTHON_CONFIGURATOR", live=live)
    yield _instrumentors()
    yield from _providers(subject)


def _chosen(kind: str, variable: str, *, live: bool) -> Finding:
    """Which distro or configurator a zero-code launch takes: the named, else the first found."""
    known = [*entry_points(group=f"opentelemetry_{kind}")]
    asked = os.environ.get(variable, "").strip()
    facts = {"installed": {each.name: _source(each) for each in known}, "asked": asked or None}
    chosen = next((each for each in known if not asked or each.name == asked), None)
    if chosen is None:
        said = f"{variable}={asked} names none that is installed ({_list(known)})"
        return Finding("opentelemetry", kind, said, "failure" if live else "warning", facts)
    said = f"{chosen.name} ({_source(chosen)})"
    level: Level = "ok"
    if not asked and len(known) > 1:
        said += f", the first that was found of {_list(known)}: choose with {variable}"
        level = "warning" if live else "ok"
    if not live:
        said = f"a zero-code launch would take {said}"
    return Finding("opentelemetry", kind, said, level, {**facts, "chosen": chosen.name})


def _instrumentors() -> Finding:
    """The instrumentors that are installed, and those of them that are active."""
    known = [*entry_points(group="opentelemetry_instrumentor")]
    active = [each for each in known if _is_active(each)]
    idle = [each for each in known if each not in active]
    said = f"active: {_list(active) or 'none'}; installed and idle: {_list(idle) or 'none'}"
    return Finding(
        "opentelemetry",
        "instrumentors",
        said,
        facts={
            "active": {each.name: _source(each) for each in active},
            "idle": {each.name: _source(each) for each in idle},
        },
    )


def _is_active(point: EntryPoint) -> bool:
    kind = getattr(sys.modules.get(point.module), point.attr, None)  # without importing it
    made = getattr(kind, "_instance", None)
    return bool(getattr(made, "is_instrumented_by_opentelemetry", False))


def _providers(subject: Subject) -> Iterable[Finding]:
    there = subject.providers
    sampler = getattr(getattr(there.tracer, "sampler", None), "get_description", lambda: None)()
    spans, counts = trace.get_tracer_provider(), metrics.get_meter_provider()
    yield _provider("tracer provider", there.tracer, spans, there.tracer_is_ours, sampler)
    yield _provider("meter provider", there.meter, counts, there.meter_is_ours)
    if there.beside is not None:
        parts = _shown(there.beside)
        said = f"Aden's own, for the Aden server alone: {', '.join(parts)}"
        yield Finding("opentelemetry", "meter provider beside", said, facts={"parts": parts})
    logger = there.logger or _logs.get_logger_provider()
    ours = there.logger is not None
    yield _provider("logger provider", logger, _logs.get_logger_provider(), ours)


def _provider(
    what: str,
    provider: Any,
    in_force: Any,
    owned: bool,
    sampler: str | None = None,
) -> Finding:
    parts = _shown(provider)
    facts = {"class": _class(provider), "parts": parts, "ours": owned, "sampler": sampler}
    if not is_set(provider):
        said = "none is set: nothing of this kind is shown"
        return Finding("opentelemetry", what, said, facts=facts)
    who = "Aden's" if owned else f"the application's ({_class(provider)})"
    said = f"{who}: {', '.join(parts) or 'exports nothing'}"
    if sampler:
        said += f"; sampler {sampler}"
    if provider is not in_force and is_set(in_force):
        said += f"; the global one is another ({_class(in_force)})"
        return Finding("opentelemetry", what, said, "warning", facts)
    return Finding("opentelemetry", what, said, facts=facts)


def _shown(provider: Any) -> list[str]:
    """Its processors or readers, and what they lead to: ``BatchSpanProcessor → OTLPSpanExporter``.

    The package is named where it is neither OpenTelemetry's nor ours.
    """
    return [" → ".join(_names(chain(part))) for part in parts_of(provider)]


def _names(parts: Iterable[Any]) -> Iterator[str]:
    for first, part in enumerate(parts):
        package = type(part).__module__.partition(".")[0]
        known = first > 0 or package in ("aden", "opentelemetry")
        if (name := type(part).__name__) != "BatchProcessor":
            yield name if known else f"{name} (of {package})"


def _class(value: Any) -> str:
    kind = type(value)
    return f"{kind.__module__}.{kind.__qualname__}"


def _source(point: EntryPoint) -> str:
    """The distribution that brings an entry point."""
    if point.dist is not None:
        return f"{point.dist.name} {point.dist.version}"
    found = packages_distributions().get(point.module.partition(".")[0], ["?"])
    return found[0]


def _list(points: Iterable[EntryPoint]) -> str:
    return ", ".join(f"{each.name} ({_source(each)})" for each in points)
