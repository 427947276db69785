"""What we write equals what opentelemetry-util-genai, the oracle, writes for the same facts."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import openai
import pytest
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.util.genai.handler import TelemetryHandler

from aden.core.money import NanoUSD
from aden.core.record import CallRecord
from aden.core.request import Request
from aden.core.usage import Usage
from aden.telemetry.call_span import CallSpan
from aden.telemetry.spans import NO_ANSWER, Answer
from aden.telemetry.telemetry import Telemetry
from otel_kit import Sdk

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.util.genai.invocation import InferenceInvocation

FULL = Usage(120, 40, 64, 8, reasoning_tokens=16, audio_input_tokens=5, audio_output_tokens=3)


@dataclass(frozen=True)
class Fact:
    """One call, as both are told of it."""

    request: Request = field(default=Request("openai", "gpt-4o"))
    sent_model: str | None = None
    usage: Usage = FULL
    response_model: str | None = "gpt-4o-2024-08-06"
    finish_reasons: tuple[str, ...] = ("stop",)
    answer: Answer = NO_ANSWER
    error: BaseException | None = None
    chunks: bool = False


STREAMED = Request("openai", "gpt-4o", stream=True, server_address="127.0.0.1", server_port=81)
PARAMETERS: Mapping[str, Any] = {
    "gen_ai.request.temperature": 0.5,
    "gen_ai.request.top_p": 1,
    "gen_ai.request.max_tokens": 100,
    "gen_ai.request.seed": 7,
    "gen_ai.request.choice.count": 2,
    "gen_ai.request.stop_sequences": (".", "!"),
    "gen_ai.output.type": "json",
    "openai.request.service_tier": "flex",
}
TIER = {"openai.response.service_tier": "flex"}
FACTS = {
    "plain": Fact(),
    "parameters": Fact(Request("groq", "llama", span_attributes=PARAMETERS)),
    "two choices": Fact(finish_reasons=("stop", "length")),
    "no model": Fact(Request("openai", ""), response_model=None, finish_reasons=()),
    "address without port": Fact(Request("openai", "gpt-4o", server_address="api.openai.com")),
    "degraded": Fact(sent_model="gpt-4o-mini"),
    "nothing counted": Fact(usage=Usage()),
    "tier": Fact(answer=Answer(TIER, TIER)),
    "tier of a stream": Fact(STREAMED, answer=Answer(TIER), chunks=True),
    "stream": Fact(STREAMED, chunks=True),
    "stream without a chunk": Fact(STREAMED, usage=Usage(), error=ValueError("cut")),
    "stream cut after chunks": Fact(
        STREAMED, chunks=True, usage=Usage(9), error=ConnectionResetError("cut")
    ),
    "builtin error": Fact(error=TimeoutError("too late"), usage=Usage(), finish_reasons=()),
    "error of the sdk": Fact(error=openai.OpenAIError("no"), usage=Usage(), response_model=None),
    "cancelled": Fact(error=asyncio.CancelledError(), usage=Usage(), finish_reasons=()),
}


def ours(fact: Fact, sdk: Sdk) -> None:
    """Tell our emitter."""
    telemetry = Telemetry("1", sdk.tracer_provider, sdk.counted_in, sdk.logger_provider)
    span = CallSpan(object())
    assert telemetry.start(fact.request, span) is span
    model = fact.sent_model or fact.request.model
    span.sending(model)
    if fact.chunks:
        span.first_chunk()
    record = CallRecord(
        "id", 0.0, fact.request.provider, fact.request.model, model, fact.usage, NanoUSD(0)
    )
    record = replace(
        record,
        response_id="r-1",
        response_model=fact.response_model,
        finish_reasons=fact.finish_reasons,
        stream=fact.request.stream,
    )
    span.finish(record, fact.error, fact.answer)


def util(fact: Fact, sdk: Sdk) -> None:
    """Tell util-genai."""
    handler = TelemetryHandler(**sdk.providers, instrumentation_scope_name="oracle")
    request = fact.request
    # Degraded, the span is the sent model's from the start: util-genai knows no other way.
    invocation = handler.inference(
        request.provider,
        request_model=fact.sent_model or request.model or None,
        server_address=request.server_address,
        server_port=request.server_port,
        operation_name=request.operation,
    )
    invocation.request_stream = request.stream or None
    invocation.response_model_name = fact.response_model
    if fact.chunks:
        invocation.record_stream_chunk()
    _fill(invocation, fact)
    if fact.error is None:
        invocation.stop()
    else:
        invocation.fail(fact.error)


def _fill(invocation: InferenceInvocation, fact: Fact) -> None:
    usage = fact.usage
    invocation.input_tokens, invocation.output_tokens = usage.input_tokens, usage.output_tokens
    invocation.cache_read_input_tokens = usage.cached_tokens
    invocation.cache_write_input_tokens = usage.cache_write_tokens
    invocation.thinking_tokens = usage.reasoning_tokens
    invocation.audio_input_tokens = usage.audio_input_tokens
    invocation.audio_output_tokens = usage.audio_output_tokens
    invocation.response_id = "r-1"
    invocation.finish_reasons = fact.finish_reasons or None
    invocation.attributes.update(fact.request.span_attributes)
    invocation.attributes.update(fact.answer.attributes)
    invocation.metric_attributes.update(fact.answer.labels)


@pytest.mark.parametrize("name", FACTS)
def test_spans_and_metrics_equal_the_oracle_s(name: str) -> None:
    """Attribute by attribute, type by type, point by point, with units, words and buckets."""
    mine, its = Sdk(), Sdk()
    ours(FACTS[name], mine)
    util(FACTS[name], its)
    assert mine.shown_spans() == its.shown_spans()
    assert mine.shown_metrics() == its.shown_metrics()


def test_an_embedding_s_span_and_metrics_equal_the_oracle_s() -> None:
    """Its own operation, without output tokens and finish reasons."""
    mine, its = Sdk(), Sdk()
    attributes = {"gen_ai.embeddings.dimension.count": 3}
    request = Request("openai", "embed", operation="embeddings", span_attributes=attributes)
    ours(Fact(request, usage=Usage(7), finish_reasons=()), mine)
    handler = TelemetryHandler(**its.providers, instrumentation_scope_name="oracle")
    invocation = handler.embedding("openai", request_model="embed")
    invocation.input_tokens, invocation.dimension_count = 7, 3
    invocation.response_model_name = "gpt-4o-2024-08-06"
    invocation.stop()
    (shown,) = mine.shown_spans()
    assert shown["attributes"].pop("gen_ai.response.id"), "which util-genai does not know here"
    assert [shown] == its.shown_spans()
    assert mine.shown_metrics() == its.shown_metrics()


def test_an_inference_of_another_instrumentation_inside_ours_makes_no_span_of_its_own() -> None:
    """It finds the record that we put into the context."""
    sdk = Sdk()
    telemetry = Telemetry("1", sdk.tracer_provider, sdk.counted_in)
    span = CallSpan(object())
    telemetry.start(Request("openai", "gpt-4o"), span)
    assert span.context is not None
    token = otel_context.attach(span.context)
    handler = TelemetryHandler(**sdk.providers, instrumentation_scope_name="inner")
    inner = handler.inference("openai", request_model="gpt-4o")
    inner.input_tokens = 1000
    inner.stop()
    otel_context.detach(token)
    span.finish(
        CallRecord("id", 0.0, "openai", "gpt-4o", "gpt-4o", Usage(5, 6), NanoUSD(0)),
        None,
        NO_ANSWER,
    )
    (shown,) = sdk.spans
    assert (shown.attributes or {})["gen_ai.usage.input_tokens"] == 5
    tokens = sdk.shown_metrics()["gen_ai.client.token.usage"][2]
    assert [point[2] for point in tokens] == [5, 6]


@pytest.mark.parametrize("failed", [False, True])
def test_inside_another_instrumentation_s_inference_we_fill_its_span(failed: bool) -> None:
    """One span, theirs, with our figures; and its metrics count our tokens."""
    sdk = Sdk()
    handler = TelemetryHandler(**sdk.providers, instrumentation_scope_name="outer")
    error = ValueError("broken") if failed else None
    outer = handler.inference("openai", request_model="gpt-4o")
    ours(Fact(error=error, answer=Answer(TIER)), sdk)
    outer.fail(error) if error else outer.stop()
    (span,) = sdk.spans
    attributes = dict(span.attributes or {})
    assert span.instrumentation_scope is not None
    assert span.instrumentation_scope.name == "outer"
    assert attributes["aden.call.id"] == "id"
    assert attributes["openai.response.service_tier"] == "flex"
    assert attributes["gen_ai.usage.cache_read.input_tokens"] == 64
    assert attributes["gen_ai.response.finish_reasons"] == ("stop",)
    tokens = sdk.shown_metrics()["gen_ai.client.token.usage"][2]
    assert [point[2] for point in tokens] == [120, 40]
    duration = sdk.shown_metrics()["gen_ai.client.operation.duration"][2]
    assert [point[1] for point in duration] == [1]


def test_the_conversation_that_a_framework_named_stands_on_the_span() -> None:
    """As on those of util-genai."""
    sdk = Sdk()
    handler = TelemetryHandler(**sdk.providers, instrumentation_scope_name="agent")
    with handler.invoke_local_agent(agent_name="a", conversation_id="c-7"):
        ours(Fact(), sdk)
    chat, _agent = sdk.spans
    assert (chat.attributes or {})["gen_ai.conversation.id"] == "c-7"


def test_a_span_that_nobody_records_costs_no_attributes_but_is_counted() -> None:
    """Metrics do not depend on sampling."""
    sdk = Sdk()
    sdk.tracer_provider = trace.NoOpTracerProvider()  # type: ignore[assignment]
    ours(Fact(), sdk)
    assert sdk.spans == ()
    tokens = sdk.shown_metrics()["gen_ai.client.token.usage"][2]
    assert [point[2] for point in tokens] == [120, 40]
