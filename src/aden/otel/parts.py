"""What providers are made of, which OpenTelemetry shows only to those who look inside."""

from collections.abc import Iterator
from typing import Any

from aden.otel.meters import OwnMeters
from aden.otel.slots import LogSlot, SpanSlot

_INSIDE = ("span_exporter", "_exporter", "_batch_processor", "_inner", "_span_exporter")


def is_set(provider: Any) -> bool:
    """Whether a provider is more than the API's own stand-in."""
    return not type(provider).__name__.lstrip("_").startswith(("Proxy", "NoOp"))


def parts_of(provider: Any) -> list[Any]:
    """A provider's processors or readers; what stands in a place of ours, in that place's stead."""
    if isinstance(provider, OwnMeters):
        provider = provider.sdk
    spans = getattr(getattr(provider, "_active_span_processor", None), "_span_processors", ())
    logs = getattr(provider, "_multi_log_record_processor", None)
    return [
        part
        for each in (
            *spans,
            *getattr(provider, "_metric_readers", ()),
            *getattr(logs, "_log_record_processors", ()),
        )
        for part in (each.now if isinstance(each, SpanSlot | LogSlot) else (each,))
    ]


def chain(part: Any) -> Iterator[Any]:
    """A processor or reader, and what it leads to: as far as the exporter."""
    yield part
    for _ in range(6):
        part = next((each for name in _INSIDE if (each := getattr(part, name, None))), None)
        if part is None:
            return
        yield part


def sends_to(provider: Any, endpoint: str) -> bool:
    """Whether a provider exports to this OTLP endpoint already."""
    found = (
        getattr(each, "_endpoint", None) for part in parts_of(provider) for each in chain(part)
    )
    return endpoint in found
