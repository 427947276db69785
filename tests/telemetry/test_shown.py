"""What spans and metrics say about a call, through the real SDKs."""

from collections.abc import Iterator
from dataclasses import dataclass

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    HistogramDataPoint,
    InMemoryMetricReader,
    NumberDataPoint,
)
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

import aden
from aden.runtime import current_runtime
from aden.testing import OpenAIServer

HELLO: list[ChatCompletionMessageParam] = [
    {"role": "user", "content": "Say hello in 40 tokens, please."}
]
Point = NumberDataPoint | HistogramDataPoint


@dataclass
class Shown:
    """A provider, a client, and what telemetry arrived."""

    server: OpenAIServer
    client: openai.OpenAI
    exporter: InMemorySpanExporter
    reader: InMemoryMetricReader

    def span(self) -> ReadableSpan:
        """The one span that there is."""
        (span,) = self.exporter.get_finished_spans()
        return span

    def points(self, name: str) -> list[Point]:
        """The data points of one metric."""
        data = self.reader.get_metrics_data()
        assert data is not None
        return [
            point
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
            if isinstance(point, NumberDataPoint | HistogramDataPoint)
        ]


@pytest.fixture
def shown() -> Iterator[Shown]:
    """Aden through its instrumentor, with providers of the application."""
    exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
    tracer = TracerProvider()
    tracer.add_span_processor(SimpleSpanProcessor(exporter))
    instrumentor = aden.AdenInstrumentor()
    instrumentor.instrument(
        tracer_provider=tracer,
        meter_provider=MeterProvider([reader]),
        options=aden.MeterOptions(budgets=[aden.Budget("b", 1)], ledger="memory:"),
    )
    try:
        with (
            OpenAIServer(ttft_ms=5, token_interval_ms=0) as server,
            openai.OpenAI(base_url=server.base_url, api_key="k", max_retries=0) as client,
        ):
            yield Shown(server, client, exporter, reader)
    finally:
        instrumentor.uninstrument()


def test_a_chat_span_carries_the_conventions_and_ours(shown: Shown) -> None:
    """Names and value types as the conventions ask; cost on the span itself."""
    shown.client.chat.completions.create(
        model="gpt-4o",
        messages=HELLO,
        temperature=0.5,
        max_completion_tokens=100,
        seed=7,
        stop=["."],
    )
    span = shown.span()
    attributes = dict(span.attributes or {})
    assert (span.name, span.kind) == ("chat gpt-4o", SpanKind.CLIENT)
    assert span.status.status_code is StatusCode.UNSET
    assert span.instrumentation_scope is not None
    assert span.instrumentation_scope.name == "aden"
    (item,) = shown.server.bill.items
    assert item.nano_usd is not None
    expected = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.max_tokens": 100,
        "gen_ai.request.seed": 7,
        "gen_ai.request.stop_sequences": (".",),
        "gen_ai.response.model": "gpt-4o-2024-08-06",
        "gen_ai.response.id": item.response_id,
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": item.input_tokens,
        "gen_ai.usage.output_tokens": 40,
        "openai.api.type": "chat_completions",
        "server.address": "127.0.0.1",
        "aden.cost.usd": item.nano_usd / 1e9,
        "aden.price.source": "genai-prices",
        "aden.usage.estimated": False,
        "aden.attempts": 1,
        "aden.request.model": "gpt-4o",
        "aden.decision.action": "allow",
        "aden.budget.id": "b",
        "aden.ledger.reach": "process",
    }
    assert {name: attributes.get(name) for name in expected} == expected
    assert not any("message" in name for name in attributes), "content is private by default"


def test_the_convention_s_metrics_count_tokens_duration_and_first_chunk(shown: Shown) -> None:
    """Once a call, by the conventions' names."""
    list(shown.client.chat.completions.create(model="gpt-4o", messages=HELLO, stream=True))
    (item,) = shown.server.bill.items
    tokens = {
        str((point.attributes or {})["gen_ai.token.type"]): point.sum
        for point in shown.points("gen_ai.client.token.usage")
        if isinstance(point, HistogramDataPoint)
    }
    assert tokens == {"input": item.input_tokens, "output": 40}
    for name in (
        "gen_ai.client.operation.duration",
        "gen_ai.client.operation.time_to_first_chunk",
    ):
        (point,) = shown.points(name)
        assert isinstance(point, HistogramDataPoint)
        assert point.count == 1


def test_cost_and_decisions_are_counted_by_labels_of_low_cardinality(shown: Shown) -> None:
    """The counter adds up to the ledger, and carries no ids."""
    with aden.attribution(session_id="s-1", user_id="u-1", customer_id="acme"):
        for _ in range(3):
            shown.client.chat.completions.create(model="gpt-4o-mini", messages=HELLO)
    runtime = current_runtime()
    assert runtime is not None
    (cost,) = shown.points("aden.client.cost")
    assert isinstance(cost, NumberDataPoint)
    booked = sum(record.cost for record in runtime.meter.ledger.journal())
    assert round(cost.value * 1e9) == booked == shown.server.bill.total_nano_usd
    assert not {"s-1", "u-1", "acme"} & {str(value) for value in (cost.attributes or {}).values()}
    (decided,) = shown.points("aden.client.decisions")
    assert isinstance(decided, NumberDataPoint)
    assert decided.value == 3


def test_attribution_stands_on_the_span(shown: Shown) -> None:
    """Who asked can be read beside what it cost."""
    with aden.attribution(agent="hotel", customer_id="acme", tags=["trial"]):
        shown.client.chat.completions.create(
            model="gpt-4o",
            messages=HELLO,
            extra_body={"metadata": {"customer_id": "other", "feature": "booking"}},
        )
    attributes = dict(shown.span().attributes or {})
    assert attributes["aden.attribution.customer_id"] == "acme", "the operator's word stands"
    assert attributes["aden.attribution.feature"] == "booking", "the request adds to it"
    assert attributes["aden.attribution.tags"] == ("trial",)
