"""An agent that is switched to from outside of its session listens, and is heard, as the first."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from caller import Caller, Microphone
from jobs import in_a_job
from lane_kit import INSTRUCTIONS, Lane, until
from livekit.agents import Agent, AgentSession, JobContext, function_tool
from livekit.agents.testing import fake_job_context
from realtime_kit import agent, model
from speech_provider import Ear, SpeechProvider
from test_heard import SORRY, call

from aden import Budget, RequestCancelledError
from aden.livekit import session_bill

NOTHING_LEFT = [Budget("calls", "0")]


def _clear(session: Any) -> None:
    session.clear_user_turn()  # LiveKit opens a new stream for it


def _switch(session: Any) -> None:
    session.update_agent(Agent(instructions=INSTRUCTIONS, stt=Caller()))


@pytest.mark.parametrize("listen_anew", [_clear, _switch])
async def test_outside_of_a_job_too_the_agent_does_not_go_deaf(
    lane: Lane, listen_anew: Callable[[Any], None]
) -> None:
    """What a running session hears is never refused."""
    with lane.instrumented(budgets=NOTHING_LEFT, refusal_message=SORRY):
        async with call(lane, listens=True) as line:
            listen_anew(line.session)
            await asyncio.sleep(0.3)
            line.caller = line.session.current_agent.stt or line.caller
            await line.spoken_turn()
            await until(lambda: line.answers() == [SORRY])
            assert len(line.errors) == 1
            assert not line.closed
        assert all(each.component != "stt" for each in lane.records)


async def test_a_session_that_listens_anew_is_not_taken_for_the_job_s_first(lane: Lane) -> None:
    """Each hears on its own agent's name."""

    class First(Agent):
        pass

    class Second(Agent):
        pass

    async def entrypoint(_: JobContext) -> None:
        async with SpeechProvider(report_every_ms=200).running() as provider:
            first = _listening(First(instructions=INSTRUCTIONS), Caller())
            second = _listening(Second(instructions=INSTRUCTIONS), Ear(provider))
            async with first, second as session:
                for listen_anew in (_clear, _switch_to(Second, Ear(provider))):
                    heard = len(lane.records)
                    listen_anew(session)
                    await until(lambda before=heard: len(lane.records) > before + 2)

    with lane.instrumented():
        await in_a_job(entrypoint)
        assert {each.place.agent for each in lane.records} == {"second"}


async def test_what_is_heard_after_a_hand_over_is_the_new_agent_s_and_no_turn_s(lane: Lane) -> None:
    """Although it began to listen in the middle of the turn that handed over to it."""
    async with SpeechProvider(report_every_ms=200).running() as provider:

        class Kitchen(Agent):
            def __init__(self) -> None:
                super().__init__(instructions=INSTRUCTIONS, stt=Ear(provider))

        class Reception(Agent):
            @function_tool
            async def hand_over(self) -> Agent:
                """Connect with the kitchen."""
                return Kitchen()

        with lane.instrumented(), fake_job_context() as job:
            session: AgentSession[None] = AgentSession(llm=lane.llm(), stt=Ear(provider))
            session.input.audio = Microphone()
            await session.start(Reception(instructions=INSTRUCTIONS))
            await session.run(user_input="Please call the tool.")
            already = len(lane.records)
            await until(lambda: len(lane.records) > already + 2)
            turns = session_bill(job).turns
            await session.aclose()
        later = lane.records[already + 1 :]  # but for the tail of what was heard before
    assert {each.component for each in later} == {"stt"}
    assert {(each.place.agent, each.place.speech_id) for each in later} == {("kitchen", None)}
    assert sum(each.cost for each in turns.values()) == lane.provider.bill.total_nano_usd


def _switch_to(agent: type[Agent], ear: Ear) -> Callable[[Any], None]:
    return lambda session: session.update_agent(agent(instructions=INSTRUCTIONS, stt=ear))


@asynccontextmanager
async def _listening(agent: Agent, ear: Any) -> AsyncIterator[Any]:
    session: AgentSession[None] = AgentSession(stt=ear)
    await session.start(agent)
    session.input.audio = Microphone()
    try:
        yield session
    finally:
        await session.aclose()


@pytest.mark.parametrize("in_job", [False, True])
async def test_a_realtime_agent_s_refusal_is_heard(lane: Lane, in_job: bool) -> None:
    """It has a model, and so a connection, of its own."""
    said: list[str] = []

    async def refused(_: JobContext | None = None) -> None:
        async with agent(lane) as session, model(lane) as other:
            session.on("conversation_item_added", lambda event: said.append(event.item))
            session.update_agent(Agent(instructions=INSTRUCTIONS, llm=other))
            await asyncio.sleep(0.3)
            said.clear()
            with pytest.raises(RequestCancelledError):
                await session.run(user_input="Hello")
            await until(lambda: len(said) == 2)

    with lane.instrumented(budgets=NOTHING_LEFT, refusal_message=SORRY):
        await (in_a_job(refused) if in_job else refused())
    assert [getattr(item, "text_content", None) for item in said] == ["Hello", SORRY]
