"""The span processor takes no other span for the call's own."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx2
import openai
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

import aden
from aden.runtime import current_runtime
from aden.testing import OpenAIServer, RecordingEmitter


class TracedTransport(httpx2.HTTPTransport):
    """An HTTP client that somebody else has instrumented."""

    def __init__(self, provider: TracerProvider) -> None:
        super().__init__()
        self._tracer = provider.get_tracer("an http client's own")

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Open a span below the call, and end it before the body is read."""
        with self._tracer.start_as_current_span("POST"):
            return super().handle_request(request)


@pytest.fixture
def provider() -> Iterator[TracerProvider]:
    """A provider of the application's, with our processor on it."""
    tracer_provider = TracerProvider(shutdown_on_exit=False)
    yield tracer_provider
    aden.uninstrument()


def test_a_nested_span_does_not_settle_a_call_that_nobody_shows(provider: TracerProvider) -> None:
    """A provider may fail to work; usage is read and booked all the same."""
    calls = RecordingEmitter()
    aden.AdenInstrumentor().instrument(
        tracer_provider=provider,
        options=aden.MeterOptions(
            budgets=[aden.Budget("b", 1)], ledger="memory:", emit_metric=calls
        ),
    )
    try:
        runtime = current_runtime()
        assert runtime is not None
        runtime.meter.telemetry._tracer = None  # as where the provider does not work
        with OpenAIServer(ttft_ms=0, token_interval_ms=0) as server:
            client = openai.OpenAI(
                base_url=server.base_url,
                api_key="k",
                http_client=httpx2.Client(transport=TracedTransport(provider)),
            )
            client.chat.completions.create(
                model="gpt-4o", messages=[{"role": "user", "content": "Hello in 12 tokens."}]
            )
            aden.flush()
            (record,) = calls.records
            assert not record.usage.estimated
            assert record.cost == server.bill.total_nano_usd
            client.close()
    finally:
        aden.AdenInstrumentor().uninstrument()


@dataclass
class Delegating(trace.TracerProvider):
    """As Logfire's: it hands on, and is equal to what holds the same, so it has no hash."""

    provider: TracerProvider

    def get_tracer(self, *arguments: Any, **more: Any) -> trace.Tracer:
        """The other's."""
        return self.provider.get_tracer(*arguments, **more)

    def add_span_processor(self, processor: SpanProcessor) -> None:
        """To the other."""
        self.provider.add_span_processor(processor)


def test_a_provider_that_delegates_is_attached_to_once(provider: TracerProvider) -> None:
    """Whatever it is made of."""
    delegating = Delegating(provider)
    for _ in range(2):
        aden.AdenInstrumentor().instrument(tracer_provider=delegating, ledger="memory:")
    runtime = current_runtime()
    assert runtime is not None
    assert runtime.providers.tracer is delegating
    names = [type(each).__name__ for each in provider._active_span_processor._span_processors]
    assert names == ["SpanSlot", "BudgetSpanProcessor"]
    aden.AdenInstrumentor().uninstrument()


def test_instrumenting_again_adds_no_second_processor(provider: TracerProvider) -> None:
    """The SDK knows no way to take one back, so one has to do."""
    for _ in range(3):
        aden.AdenInstrumentor().instrument(tracer_provider=provider, ledger="memory:")
        aden.AdenInstrumentor().uninstrument()
    names = [type(each).__name__ for each in provider._active_span_processor._span_processors]
    assert names == ["SpanSlot", "BudgetSpanProcessor"]
