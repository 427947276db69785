"""Telemetry may break in any of its parts: the call goes through, budgeted and booked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import openai
import pytest
from guide import spend
from lanes import Lane
from opentelemetry import metrics, trace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter
from shapes import REQUEST, consumed, plain
from wire import Body, WireServer

import aden
from aden import Budget, RequestCancelledError

if TYPE_CHECKING:
    from collections.abc import Callable

    from aden.testing import OpenAIServer
    from house import House


class Broken:
    """Raises whatever is asked of it."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(f"{name} is broken")


class BrokenTracer(trace.Tracer):
    """A tracer that cannot start a span."""

    def __init__(self, why: str = "no span today") -> None:
        self._why = why

    def start_span(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError(self._why)

    def start_as_current_span(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("no span today")


class BrokenSpan(trace.NonRecordingSpan):
    """A span that takes nothing."""

    def set_attribute(self, key: str, value: Any) -> None:
        raise RuntimeError("no attribute today")

    def set_attributes(self, attributes: Any) -> None:
        raise RuntimeError("no attributes today")

    def update_name(self, name: str) -> None:
        raise RuntimeError("no name today")

    def end(self, end_time: int | None = None) -> None:
        raise RuntimeError("no end today")


class TracerOfBrokenSpans(BrokenTracer):
    """A tracer whose spans are broken."""

    def start_span(self, *args: Any, **kwargs: Any) -> Any:
        return BrokenSpan(trace.SpanContext(1, 2, is_remote=False))


class Provider(trace.TracerProvider):
    """A provider of one tracer."""

    def __init__(self, tracer: trace.Tracer) -> None:
        self._tracer = tracer

    def get_tracer(self, *args: Any, **kwargs: Any) -> trace.Tracer:
        return self._tracer


class BrokenProcessor(SpanProcessor):
    """A foreign processor that raises; the SDK lets that through to whoever starts the span."""

    def __init__(self, on: str) -> None:
        self._on = on

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        if self._on == "start":
            raise RuntimeError("no start today")

    def on_end(self, span: Any) -> None:
        if self._on == "end":
            raise RuntimeError("no end today")


class BrokenExporter(SpanExporter):
    """An exporter that raises."""

    def export(self, spans: Any) -> Any:
        raise RuntimeError("no export today")


class BrokenMeterProvider(metrics.NoOpMeterProvider):
    """A provider without a meter."""

    def get_meter(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("no meter today")


class BrokenCompletionHook:
    """The hook of util-genai."""

    def on_completion(self, **kwargs: Any) -> None:
        raise RuntimeError("no completion today")


def with_processor(processor: SpanProcessor) -> dict[str, Any]:
    """A provider that already has a processor of the app's."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(processor)
    return {"tracer_provider": provider}


WAYS: dict[str, Callable[[], dict[str, Any]]] = {
    "tracer provider raises": lambda: {"tracer_provider": Provider(Broken())},  # type: ignore[arg-type]
    "tracer raises": lambda: {"tracer_provider": Provider(BrokenTracer())},
    "span raises": lambda: {"tracer_provider": Provider(TracerOfBrokenSpans())},
    "processor raises at the start": lambda: with_processor(BrokenProcessor("start")),
    "processor raises at the end": lambda: with_processor(BrokenProcessor("end")),
    "exporter raises": lambda: with_processor(SimpleSpanProcessor(BrokenExporter())),
    "meter provider raises": lambda: {"meter_provider": BrokenMeterProvider()},
    "completion hook raises": lambda: {"completion_hook": BrokenCompletionHook()},
}


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("way", WAYS)
async def test_calls_go_through_and_are_booked(
    way: str, kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """A plain call, a stream and a degraded call answer as ever, and their cost is exact."""
    calls: list[str] = []

    def hook(params: Any, context: Any) -> Any:
        calls.append(context.model)
        cheaper = aden.BeforeRequestResult.degrade("gpt-4o-mini")
        return cheaper if len(calls) == 3 else aden.BeforeRequestResult.proceed()

    house = instrumented(before_request=hook, **WAYS[way]())
    lane = Lane(kind, server)
    await plain(lane)
    await consumed(lane)
    await lane.create(**REQUEST)
    aden.flush()
    records = house.calls.records
    assert [record.model for record in records] == ["gpt-4o", "gpt-4o", "gpt-4o-mini"]
    assert len(calls) == 3
    balance = house.balance()
    assert (balance.held, balance.spent) == (0, server.bill.total_nano_usd)


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("way", WAYS)
async def test_an_exhausted_budget_still_refuses(
    way: str, kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """The gate does not lean on telemetry."""
    house = instrumented(budgets=[Budget("all", "1")], **WAYS[way]())
    spend(house, 1)
    with pytest.raises(RequestCancelledError):
        await Lane(kind, server).create(**REQUEST)
    assert not server.requests
    assert house.balance().held == 0


def test_what_broke_is_said_once(
    server: OpenAIServer, instrumented: Callable[..., House], complaints: Callable[[], list[str]]
) -> None:
    """Not once a call."""
    instrumented(tracer_provider=Provider(BrokenTracer("never heard before")))
    for _ in range(3):
        Lane("sync", server).chat.create(**REQUEST)
    (line,) = complaints()
    assert "budgets are not affected" in line


def test_a_failure_is_exported_whatever_its_provider_says(
    instrumented: Callable[..., House],
) -> None:
    """Half a character in a span's status would cost its whole batch: it is no attribute."""
    house = instrumented()
    with WireServer() as wire, openai.OpenAI(base_url=wire.base_url, api_key="k") as client:
        wire.body = Body.events({"error": {"message": "half \ud83d", "code": "odd"}})
        stream = client.chat.completions.create(**REQUEST, stream=True)
        with pytest.raises(openai.APIError):
            list(stream)
    _, span = house.one_call()
    assert span.status.description == "half \ufffd"
    assert encode_spans([span]).SerializeToString()
