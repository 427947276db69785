"""LiveKit's own figures beside the provider's bill: ``session.usage``, its metrics, its span."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest
from caller import Caller, Microphone
from lane_kit import INSTRUCTIONS, Answering, Lane, until
from livekit.agents import (
    Agent,
    AgentSession,
    APIConnectionError,
    APIConnectOptions,
    APIError,
    TurnHandlingOptions,
    function_tool,
    llm,
)

from aden import Budget, Degrade
from aden.testing import BillItem, Drop, Hang, OpenAIServer, Status

LONG = "Tell me in detail about the history of the house."
UNHEARD = 5
"""So many tokens the provider may make while the line is being cut."""
LISTENING = TurnHandlingOptions(
    turn_detection="stt", endpointing={"min_delay": 0.05, "max_delay": 0.1}
)


@pytest.fixture
def provider() -> Any:
    """A provider that speaks slowly enough to be interrupted."""
    with OpenAIServer(ttft_ms=30, token_interval_ms=10) as server:
        yield server


def counted(session: Any) -> dict[str, tuple[int, int]]:
    """What LiveKit counted, by model: input and output tokens."""
    rows = [row for row in session.usage.model_usage if row.type == "llm_usage"]
    return {row.model: (row.input_tokens, row.output_tokens) for row in rows}


def billed(items: Sequence[BillItem]) -> dict[str, tuple[int, int]]:
    """What the provider bills, by model."""
    rows: dict[str, tuple[int, int]] = {}
    for item in items:
        tokens = rows.get(item.model, (0, 0))
        rows[item.model] = tokens[0] + item.input_tokens, tokens[1] + item.output_tokens
    return rows


async def test_an_interrupted_answer_is_counted_as_it_is_billed(
    lane: Lane, provider: OpenAIServer
) -> None:
    """LiveKit alone says that it took no tokens."""
    emitted: list[Any] = []
    with lane.instrumented():
        async with lane.session() as session:
            session.llm.on("metrics_collected", emitted.append)
            await session.run(user_input="When is breakfast?")
            answer = session.generate_reply(user_input=LONG)
            await until(lambda: len(lane.spans("llm_request_run")) >= 1 and lane.asked == 2)
            await asyncio.sleep(0.5)
            answer.interrupt()
            await answer
            assert provider.wait_idle()
            await until(lambda: len(emitted) == 2)
            whole, cut = provider.bill.items
            (tokens,) = counted(session).values()
        records = lane.records
    assert tokens == (
        sum(record.usage.input_tokens or 0 for record in records),
        sum(record.usage.output_tokens or 0 for record in records),
    )
    assert tokens[0] == pytest.approx(whole.input_tokens + cut.input_tokens, rel=0.1)
    assert abs(whole.output_tokens + cut.output_tokens - tokens[1]) <= UNHEARD
    assert emitted[1].cancelled


async def test_answers_that_livekit_began_too_early_are_counted(
    lane: Lane, provider: OpenAIServer
) -> None:
    """Three are discarded and billed."""
    caller, agent, emitted = Caller(), Answering(), list[Any]()
    with lane.instrumented():
        async with lane.session(agent=agent, stt=caller, turn_handling=LISTENING) as session:
            session.llm.on("metrics_collected", emitted.append)
            session.input.audio = Microphone()
            await agent.hears_drafts(caller)
            await until(lambda: any(item.completed for item in provider.bill.items))
            assert provider.wait_idle()
            await until(lambda: len(lane.records) == len(emitted) == 4)
            (tokens,) = counted(session).values()
        records = lane.records
    assert tokens == (
        sum(record.usage.input_tokens or 0 for record in records),
        sum(record.usage.output_tokens or 0 for record in records),
    )
    output = sum(item.output_tokens for item in provider.bill.items)
    assert abs(output - tokens[1]) <= 3 * UNHEARD


async def test_an_answer_that_is_discarded_before_a_word_is_counted_as_it_is_booked(
    lane: Lane, provider: OpenAIServer
) -> None:
    """Nobody knows how much of it was made."""
    caller, emitted = Caller(), list[Any]()
    provider.script(Hang(20))
    with lane.instrumented():
        async with lane.session(stt=caller, turn_handling=LISTENING) as session:
            session.llm.on("metrics_collected", emitted.append)
            session.input.audio = Microphone()
            await caller.speak(
                "Plan",
                final="Plan a day for us, please",
                pause_s=0,
                until=lambda drafts: until(lambda: lane.asked == drafts),
            )
            await until(lambda: len(lane.records) == len(emitted) == 2)
            (tokens,) = counted(session).values()
        discarded, used = lane.records
    assert (discarded.stream_end, discarded.ttft_ms) == ("cancelled", None)
    assert (discarded.usage.output_tokens or 0) > 0
    assert tokens == (
        sum(record.usage.input_tokens or 0 for record in (discarded, used)),
        sum(record.usage.output_tokens or 0 for record in (discarded, used)),
    )


async def test_a_retried_request_is_counted_with_both_its_attempts(
    lane: Lane, provider: OpenAIServer
) -> None:
    """LiveKit alone counts the last."""
    with lane.instrumented():
        async with lane.session() as session:
            provider.script(Drop(after_tokens=0))
            await session.run(user_input="When is breakfast?")
            assert len(provider.bill.items) == 2
            assert counted(session) == billed(provider.bill.items)


async def test_a_request_that_fails_is_counted_where_it_is_billed(
    lane: Lane, provider: OpenAIServer
) -> None:
    """LiveKit alone makes no metrics of it; of one that costs nothing, nobody does."""
    emitted: list[Any] = []
    with lane.instrumented():
        async with lane.session() as session:
            session.llm.on("metrics_collected", emitted.append)
            await session.run(user_input="When is breakfast?")
            provider.script(Drop(after_tokens=7))
            with pytest.raises(APIConnectionError):
                await session.run(user_input="And lunch?")
            (tokens,) = counted(session).values()
            (asked,) = billed(provider.bill.items).values()
            assert tokens[1] == asked[1]
            assert tokens[0] == pytest.approx(asked[0], rel=0.1)
            provider.script(Status(400))
            with pytest.raises(Exception, match="400"):
                await session.run(user_input="And dinner?")
            assert counted(session) == {"gpt-4o": tokens}
            assert len(emitted) == 2


async def test_what_a_tool_asks_aside_is_not_counted_where_it_fails_either(lane: Lane) -> None:
    """LiveKit counts what its session's own LLM is asked."""

    class Clerk(Agent):
        @function_tool
        async def look(self) -> str:
            """Look it up."""
            question = llm.ChatContext.empty()
            question.add_message(role="user", content="Look it up.")
            lane.provider.script(Drop(after_tokens=3))
            once = APIConnectOptions(max_retry=0)
            with pytest.raises(APIError):
                await lane.llm("gpt-4o-mini").chat(chat_ctx=question, conn_options=once).collect()
            return "It is lost."

    with lane.instrumented():
        session: AgentSession[None] = AgentSession(llm=lane.llm())
        await session.start(Clerk(instructions=INSTRUCTIONS))
        await session.run(user_input="Please call the tool.")
        assert {each.model for each in session.usage.model_usage} == {"gpt-4o"}
        await session.aclose()
        assert {each.model for each in lane.records if each.cost} == {"gpt-4o", "gpt-4o-mini"}


async def test_a_degraded_request_is_counted_by_the_model_that_was_sent(
    lane: Lane, provider: OpenAIServer
) -> None:
    """In its usage, its metrics and its span; LiveKit alone names the configured one."""
    emitted: list[Any] = []
    budget = Budget("calls", "1", ladder=[Degrade(0, "gpt-4o-mini")])
    with lane.instrumented(budgets=[budget]):
        async with lane.session() as session:
            session.llm.on("metrics_collected", emitted.append)
            await session.run(user_input="When is breakfast?")
            assert counted(session) == billed(provider.bill.items)
            assert list(counted(session)) == ["gpt-4o-mini"]
            assert session.llm.model == "gpt-4o"
    assert [each.metadata.model_name for each in emitted] == ["gpt-4o-mini"]
    (span,) = lane.spans("llm_request")
    assert span.attributes is not None
    told = json.loads(str(span.attributes["lk.llm_metrics"]))
    assert told["metadata"]["model_name"] == "gpt-4o-mini"


async def test_a_probe_is_counted_as_the_provider_bills_it(
    lane: Lane, provider: OpenAIServer
) -> None:
    """Beside the answer, each by its model."""
    adapter = llm.FallbackAdapter([lane.llm("gpt-4o"), lane.llm("gpt-4.1")])
    with lane.instrumented():
        async with lane.session(llm=adapter) as session:
            provider.script(Status(500))
            await session.run(user_input="When is breakfast?")
            await until(lambda: len(provider.bill.items) == 2)
            assert provider.wait_idle()
            await until(lambda: counted(session) == billed(provider.bill.items))
        assert {record.model for record in lane.records} == {"gpt-4o", "gpt-4.1"}
