"""Law 6 under LiveKit: whoever interrupts, whenever, what was spent is settled, and only that."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from caller import Caller, Microphone
from lane_kit import Answering, Lane, held, spent, until
from livekit.agents import ChatContext, TurnHandlingOptions

from aden import BeforeRequestContext, BeforeRequestResult, Budget
from aden.testing import OpenAIServer

BUDGET = Budget("calls", "1")
UNHEARD = range(-2, 9)
"""Tokens that the provider made while the line was being cut, more or less than was assumed."""
LONG = "Tell me in detail about the history of the house."


@pytest.fixture
def provider() -> Any:
    """A provider that speaks slowly enough to be interrupted."""
    with OpenAIServer(ttft_ms=30, token_interval_ms=10) as server:
        yield server


async def test_an_interrupted_answer_is_settled_as_the_provider_bills_it(
    lane: Lane, provider: OpenAIServer
) -> None:
    """The output is what was heard; the input, which nobody reports, continues the turn before."""
    with lane.instrumented(budgets=[BUDGET]):
        async with lane.session() as session:
            await session.run(user_input="When is breakfast?")
            answer = session.generate_reply(user_input=LONG)
            await until(lambda: lane.asked == 2)
            await asyncio.sleep(0.3)
            answer.interrupt()
            await answer
            assert provider.wait_idle()
        first, cut = lane.records
        whole, billed = provider.bill.items
        assert (first.usage.estimated, first.cost) == (False, whole.nano_usd)
        assert 10 < billed.output_tokens < 60
        assert billed.output_tokens - (cut.usage.output_tokens or 0) in UNHEARD
        assert cut.usage.input_tokens == pytest.approx(billed.input_tokens, rel=0.1)
        assert cut.cost == pytest.approx(billed.nano_usd, rel=0.1)
        assert (cut.usage.estimated, cut.stream_end, cut.error_type) == (True, "cancelled", None)
        assert (cut.decision.action, cut.attempts, cut.response_id) == (
            "allow",
            1,
            billed.response_id,
        )
        assert spent(lane, BUDGET) == first.cost + cut.cost
        assert held(lane, BUDGET) == 0
    span = lane.spans("llm_request")[1]
    assert span.attributes is not None
    assert span.status.is_unset
    assert "error.type" not in span.attributes
    assert span.attributes["gen_ai.usage.input_tokens"] == cut.usage.input_tokens
    assert span.attributes["gen_ai.usage.output_tokens"] == cut.usage.output_tokens
    assert span.attributes["aden.usage.estimated"] is True
    assert span.attributes["aden.stream.end"] == "cancelled"


async def test_answers_that_livekit_began_too_early_are_settled_too(
    lane: Lane, provider: OpenAIServer
) -> None:
    """Each draft of what the caller says begins an answer; the discarded ones were paid as well."""
    caller, agent = Caller(), Answering()
    listening = TurnHandlingOptions(
        turn_detection="stt", endpointing={"min_delay": 0.05, "max_delay": 0.1}
    )
    with lane.instrumented(budgets=[BUDGET]):
        async with lane.session(agent=agent, stt=caller, turn_handling=listening) as session:
            session.input.audio = Microphone()
            await agent.hears_drafts(caller)
            await until(lambda: any(item.completed for item in provider.bill.items))
            assert provider.wait_idle()
            await until(lambda: len(lane.records) == 4)
        records = lane.records
        *discarded, used = provider.bill.items
        assert len(discarded) == 3
        assert [record.stream_end for record in records] == [*["cancelled"] * 3, "complete"]
        for record, item in zip(records, discarded, strict=False):
            assert record.usage.estimated
            assert item.output_tokens - (record.usage.output_tokens or 0) in UNHEARD
        assert records[-1].cost == used.nano_usd
        assert spent(lane, BUDGET) == sum(record.cost for record in records)
        assert held(lane, BUDGET) == 0


class SlowHook:
    """An async hook that never comes back, and says when it was asked."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def __call__(
        self, params: Mapping[str, Any], context: BeforeRequestContext
    ) -> BeforeRequestResult:
        """Be asked, and stay away."""
        self.asked.set()
        await asyncio.sleep(60)
        return BeforeRequestResult.proceed()


async def test_a_turn_that_is_interrupted_while_the_hook_thinks_costs_nothing(lane: Lane) -> None:
    """Nothing was sent: nothing is charged, and the reservation is given back."""
    hook = SlowHook()
    with lane.instrumented(budgets=[BUDGET], before_request=hook, hook_timeout_ms=60_000):
        async with lane.session() as session:
            answer = session.generate_reply(user_input=LONG)
            await hook.asked.wait()
            assert held(lane, BUDGET) > 0
            answer.interrupt()
            await answer
            await until(lambda: held(lane, BUDGET) == 0)
        (record,) = lane.records
        assert spent(lane, BUDGET) == 0
    assert (record.cost, record.attempts, record.stream_end) == (0, 0, "cancelled")
    assert lane.asked == 0


async def test_a_turn_that_is_interrupted_while_it_is_throttled_costs_nothing(lane: Lane) -> None:
    """The delay ends with the turn that it delays."""

    def slow_down(params: object, context: BeforeRequestContext) -> BeforeRequestResult:
        return BeforeRequestResult.throttle(delay_ms=30_000)

    with lane.instrumented(budgets=[BUDGET], before_request=slow_down):
        async with lane.session() as session:
            answer = session.generate_reply(user_input=LONG)
            await until(lambda: held(lane, BUDGET) > 0)
            answer.interrupt()
            await answer
            await until(lambda: held(lane, BUDGET) == 0)
        (record,) = lane.records
        assert spent(lane, BUDGET) == 0
    assert (record.cost, record.decision.action, record.decision.delay_ms) == (
        0,
        "throttle",
        30_000,
    )
    assert lane.asked == 0


async def test_a_stream_that_is_closed_before_its_first_step_is_no_call(lane: Lane) -> None:
    """LiveKit makes no span for it and sends nothing; neither a record nor a hold is left."""
    chat = ChatContext.empty()
    chat.add_message(role="user", content="When is breakfast?")
    with lane.instrumented(budgets=[BUDGET]):
        stream = lane.llm().chat(chat_ctx=chat)
        await stream.aclose()
        del stream
        assert lane.records == []
        assert (held(lane, BUDGET), spent(lane, BUDGET)) == (0, 0)
    assert (lane.asked, lane.spans("llm_request")) == (0, [])


async def test_a_stream_that_its_reader_leaves_is_settled(
    lane: Lane, provider: OpenAIServer
) -> None:
    """Leaving is not an error; what was generated until then is paid."""
    chat = ChatContext.empty()
    chat.add_message(role="user", content=LONG)
    with lane.instrumented(budgets=[BUDGET]):
        async with lane.llm().chat(chat_ctx=chat) as stream:
            async for chunk in stream:
                if chunk.delta and chunk.delta.content:
                    break
        assert provider.wait_idle()
        (record,) = lane.records
        (item,) = provider.bill.items
        assert item.output_tokens - (record.usage.output_tokens or 0) in UNHEARD
        assert held(lane, BUDGET) == 0
    assert (record.stream_end, record.error_type) == ("cancelled", None)
