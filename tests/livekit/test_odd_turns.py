"""What an LLM turn has to bear: closed sessions, left streams, agents and hooks that misbehave."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from jobs import in_a_job
from lane_kit import INSTRUCTIONS, Lane, held, spent, until
from livekit.agents import Agent, AgentSession, JobContext, llm
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS
from test_heard import SORRY, call

from aden import BeforeRequestResult, Budget, RequestCancelledError
from aden.testing import OpenAIServer

BUDGET = Budget("calls", "1")


class Nameless(llm.LLM[Any]):
    """A plugin that says neither its model nor its provider."""

    def __init__(self, model: Any = "unknown") -> None:
        super().__init__()
        self._name = model

    @property
    def model(self) -> str:
        """Nothing."""
        return self._name  # type: ignore[no-any-return]

    def chat(self, *, chat_ctx: llm.ChatContext, **_: Any) -> llm.LLMStream:
        """Answer."""
        return _Answer(self, chat_ctx=chat_ctx, tools=[], conn_options=DEFAULT_API_CONNECT_OPTIONS)


class _Answer(llm.LLMStream):
    async def _run(self) -> None:
        usage = llm.CompletionUsage(completion_tokens=10, prompt_tokens=10, total_tokens=20)
        delta = llm.ChoiceDelta(role="assistant", content="Hello.")
        self._event_ch.send_nowait(llm.ChatChunk(id="r", delta=delta, usage=usage))


@pytest.mark.parametrize("name", ["unknown", "", None])
async def test_a_plugin_without_a_name_is_gated_and_booked_at_the_dearest_rates(
    lane: Lane, name: Any
) -> None:
    """Its budget bears it, or refuses it."""
    with lane.instrumented(budgets=[BUDGET]):
        async with lane.session(llm=Nameless(name)) as session:
            await session.run(user_input="Hello")
        (record,) = lane.records
        assert (record.model, record.price_source) == ("unknown", "floor")
        assert 0 < record.cost == spent(lane, BUDGET)
    with lane.instrumented(budgets=[Budget("calls", "0")]):
        async with lane.session(llm=Nameless(name)) as session:
            with pytest.raises(RequestCancelledError):
                await session.run(user_input="Hello")


async def test_a_context_that_cannot_be_measured_is_gated_by_its_model(lane: Lane) -> None:
    """Such as one with a tool call that a program has made without arguments."""
    context = llm.ChatContext.empty()
    context.items.append(
        llm.FunctionCall.model_construct(id="item_1", call_id="c1", name="look", arguments=None)
    )
    with lane.instrumented(budgets=[Budget("calls", "0")]), pytest.raises(RequestCancelledError):
        await Nameless().chat(chat_ctx=context).collect()
    with lane.instrumented(budgets=[BUDGET]):
        assert (await Nameless().chat(chat_ctx=context).collect()).text == "Hello."
        assert spent(lane, BUDGET) > 0


class Waiting:
    """An async hook that does not come back."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def __call__(self, *_: Any) -> BeforeRequestResult:
        """Wait."""
        self.asked.set()
        await asyncio.sleep(60)
        return BeforeRequestResult.proceed()


async def test_a_session_that_is_closed_while_the_gate_waits_sends_and_pays_nothing(
    lane: Lane,
) -> None:
    """Its hold is given back."""
    hook = Waiting()
    with lane.instrumented(budgets=[BUDGET], before_request=hook, hook_timeout_ms=60_000):
        async with lane.session() as session:
            session.generate_reply(user_input="Hello")
            await hook.asked.wait()
            assert held(lane, BUDGET) > 0
            await session.aclose()
            await until(lambda: held(lane, BUDGET) == 0)
        (record,) = lane.records
        assert (record.cost, record.attempts, spent(lane, BUDGET)) == (0, 0, 0)
    assert lane.asked == 0


async def test_a_hook_beyond_its_time_is_a_refusal_that_the_caller_hears(lane: Lane) -> None:
    """Not a minute of silence."""
    with lane.instrumented(before_request=Waiting(), hook_timeout_ms=50, refusal_message=SORRY):
        async with call(lane) as line:
            await line.turn()
            assert line.voice.spoken == [SORRY]
        assert lane.records[0].decision.reason == "hook"
    assert lane.asked == 0


async def test_a_stream_that_nobody_closes_is_settled(lane: Lane, provider: OpenAIServer) -> None:
    """When it has been read; its span is LiveKit's, which never ends it."""
    question = llm.ChatContext.empty()
    question.add_message(role="user", content="Hello")
    with lane.instrumented(budgets=[BUDGET]):
        stream = lane.llm().chat(chat_ctx=question)
        async for _ in stream:
            pass
        (record,) = lane.records
        assert record.cost == provider.bill.total_nano_usd == spent(lane, BUDGET)
        assert held(lane, BUDGET) == 0
        await stream.aclose()


class Swallowing(Agent):
    """An agent that lets no error out."""

    async def llm_node(self, *args: Any) -> AsyncIterator[Any]:
        """Swallow."""
        try:
            async for chunk in Agent.default.llm_node(self, *args):
                yield chunk
        except Exception:
            return


async def test_an_agent_that_swallows_the_refusal_is_silent_and_alive(lane: Lane) -> None:
    """Its author was told by the event; nothing is asked again."""
    with lane.instrumented(budgets=[Budget("calls", "0")]):
        async with call(lane, Swallowing(instructions=INSTRUCTIONS)) as line:
            for _ in range(5):
                await line.session.run(user_input="Hello")
            assert line.voice.spoken == []
            assert len(line.errors) == 5
            assert not line.closed
        assert sum(record.repeats for record in lane.records) == 5
    assert lane.asked == 0


class Closing(Agent):
    """An agent whose refusal ends its session."""

    aden_on_refusal = "close"


async def test_of_two_sessions_in_a_job_only_the_refused_one_is_closed(lane: Lane) -> None:
    """The job goes on, since its first session does."""
    reasons: list[str] = []

    async def entrypoint(ctx: JobContext) -> None:
        async def ended(reason: str) -> None:
            reasons.append(reason)

        ctx.add_shutdown_callback(ended)
        first: AgentSession[None] = AgentSession(llm=lane.llm("gpt-4o-mini"))
        await first.start(Agent(instructions=INSTRUCTIONS))
        async with call(lane, Closing(instructions=INSTRUCTIONS)) as line:
            line.session.generate_reply(user_input="Hello")
            await until(lambda: line.closed)
            await first.run(user_input="Hello")
            assert lane.asked == 1
        await first.aclose()

    dear = Budget("dear", "0", scope={"model": "gpt-4o"})
    with lane.instrumented(budgets=[dear]):
        await in_a_job(entrypoint)
    assert reasons != ["aden: refused"]
