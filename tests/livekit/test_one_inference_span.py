"""LiveKit's ``llm_request`` is the one inference span of a request, and it tells the truth."""

from collections.abc import Mapping

import pytest
from lane_kit import Lane, until
from livekit.agents import llm
from opentelemetry.sdk.trace import ReadableSpan

from aden import Budget, Degrade, attribution
from aden.testing import OpenAIServer

MINI = Budget("calls", "1", ladder=[Degrade(0, "gpt-4o-mini")])


async def test_the_span_of_a_turn_carries_cost_usage_and_decision(
    lane: Lane, provider: OpenAIServer
) -> None:
    """Everything that the call came to stands on the span that LiveKit made for it."""
    with lane.instrumented(budgets=[Budget("calls", "1")]):
        async with lane.session() as session:
            with attribution(customer_id="acme"):
                await session.run(user_input="When is breakfast?")
        (record,) = lane.records
    (item,) = provider.bill.items
    (span,) = lane.spans("llm_request")
    expected = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.response.model": "gpt-4o-2024-08-06",
        "gen_ai.response.id": item.response_id,
        "gen_ai.usage.input_tokens": item.input_tokens,
        "gen_ai.usage.output_tokens": item.output_tokens,
        "gen_ai.usage.cache_read.input_tokens": 0,
        "aden.call.id": record.id,
        "aden.request.model": "gpt-4o",
        "aden.cost.usd": (item.nano_usd or 0) / 1e9,
        "aden.usage.estimated": False,
        "aden.attempts": 1,
        "aden.decision.action": "allow",
        "aden.budget.id": "calls",
        "aden.attribution.customer_id": "acme",
    }
    assert _chosen(span, expected) == expected
    assert record.span_id == f"{_id(span):016x}"
    assert span.status.is_unset


async def test_a_stream_that_nobody_closes_is_shown_as_long_as_it_took_and_with_its_cost(
    lane: Lane, provider: OpenAIServer
) -> None:
    """LiveKit ends its span in ``aclose()``, which its own judge of tests does not call either."""
    with lane.instrumented(budgets=[Budget("calls", "1")]):
        async with lane.session() as session:
            answer = await session.run(user_input="When is breakfast?")
        judge = lane.llm("gpt-4o-mini")
        message = answer.expect.next_event(type="message")
        await message.judge(judge, intent="Greets; call the tool.")
        both = llm.FallbackAdapter([judge])
        chat = llm.ChatContext([llm.ChatMessage(role="user", content=["Answer in detail."])])
        async for _ in both.chat(chat_ctx=chat):
            pass
        await until(lambda: len(lane.spans("llm_request")) == 3)
        await until(lambda: len(lane.spans("llm_fallback_adapter")) == 1)
        records = {record.id: record for record in lane.records}
    assert sum(record.cost for record in records.values()) == provider.bill.total_nano_usd
    for span in lane.spans("llm_request"):
        said = dict(span.attributes or {})
        record = records.pop(str(said["aden.call.id"]))
        assert said["aden.cost.usd"] == record.cost / 1e9
        assert span.start_time
        assert span.end_time
        lasted_ms = (span.end_time - span.start_time) / 1e6
        assert lasted_ms == pytest.approx(record.latency_ms, abs=100)
    assert not records


async def test_after_a_degrade_the_span_names_the_model_that_was_served(
    lane: Lane, provider: OpenAIServer
) -> None:
    """LiveKit writes the model that the agent configured; what was sent is another one."""
    with lane.instrumented(budgets=[MINI]):
        async with lane.session("gpt-4o") as session:
            await session.run(user_input="When is breakfast?")
    (item,) = provider.bill.items
    (span,) = lane.spans("llm_request")
    expected = {
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
        "aden.request.model": "gpt-4o",
        "aden.decision.action": "degrade",
        "aden.decision.reason": "policy",
        "gen_ai.usage.input_tokens": item.input_tokens,
        "gen_ai.usage.output_tokens": item.output_tokens,
        "aden.cost.usd": (item.nano_usd or 0) / 1e9,
    }
    assert item.model == "gpt-4o-mini"
    assert _chosen(span, expected) == expected


async def test_a_request_has_one_inference_span_and_one_cost(lane: Lane) -> None:
    """The SDK wrapper inside opens no span of its own, and no parent repeats the figures."""
    with lane.instrumented(budgets=[Budget("calls", "1")]):
        async with lane.session() as session:
            await session.run(user_input="When is breakfast?")
            await session.run(user_input="How far is the beach?")
    for mark in ("gen_ai.usage.input_tokens", "aden.cost.usd"):
        marked = [span.name for span in lane.spans() if mark in (span.attributes or {})]
        assert marked == ["llm_request", "llm_request"], mark
    assert not [span for span in lane.spans() if span.name.startswith("chat")]


async def test_the_spans_of_a_session_are_one_tree(lane: Lane) -> None:
    """Every parent is there, and the request stands below its turn."""
    with lane.instrumented(budgets=[MINI]):
        async with lane.session() as session:
            await session.run(user_input="When is breakfast?")
    spans = {_id(span): span for span in lane.spans()}
    roots = [span for span in spans.values() if span.parent is None]
    assert [span.name for span in roots] == ["agent_session"]
    assert all(span.parent is None or span.parent.span_id in spans for span in spans.values())
    assert len({span.context.trace_id for span in spans.values() if span.context}) == 1
    (request,) = lane.spans("llm_request")
    above = []
    while request.parent is not None:
        request = spans[request.parent.span_id]
        above.append(request.name)
    assert above == ["llm_node", "agent_turn", "agent_session"]


def _chosen(span: ReadableSpan, names: Mapping[str, object]) -> dict[str, object]:
    attributes = span.attributes or {}
    return {name: attributes.get(name) for name in names}


def _id(span: ReadableSpan) -> int:
    assert span.context is not None
    return int(span.context.span_id)
