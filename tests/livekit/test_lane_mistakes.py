"""Law 9 under LiveKit: our own mistakes are told, and the caller hears what he would without us."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from lane_kit import INSTRUCTIONS, Lane, held
from livekit.agents import Agent, AgentSession, llm
from realtime_kit import ask, heard, talking
from speech_provider import Ear, SpeechProvider, Voice, frame

from aden import Budget
from aden.metering.shells import aadmit
from aden.runtime import current_runtime
from strikes import below_the_door, mistaken

BUDGET = Budget("calls", "100")
QUESTION = "Say hello in 12 tokens."
DOORS = (
    # What only leads from LiveKit, or from an SDK, to the first guard.
    "active:active_meter",
    "llm:_begin",
    "llm:_ready",
    "stt:_hearing",
    "tts:_begin",
    "_of",
    "_is_adapter",
    "streams:leave",
    "measured:measured_here",
    "who:at_speech_node",
    # The guard, and what is no more than setting or reading a variable, or making a value.
    "aside:",
    "leases:LeaseKeeper.drop",
    "shells:aadmit",
    "meter:Meter.settle",
    "settlement:Settler.withdraw",
    "hearing:Hearing.close",
    "hearing:Hearing._withdraw",
    "turn:refused_ahead",
    "context:with_call",
    "__create_fn__",
)

Use = Callable[[], Awaitable[Any]]


@asynccontextmanager
async def turn(lane: Lane, _speech: SpeechProvider) -> AsyncIterator[Use]:
    """An agent answers."""
    session: AgentSession[None] = AgentSession(llm=lane.llm())
    await session.start(Agent(instructions=INSTRUCTIONS))

    async def use() -> list[str | None]:
        result: Any = await session.run(user_input=QUESTION)
        items = [getattr(event, "item", None) for event in result.events]
        return [item.text_content for item in items if isinstance(item, llm.ChatMessage)]

    try:
        yield use
    finally:
        await session.aclose()


@asynccontextmanager
async def chat(lane: Lane, _speech: SpeechProvider) -> AsyncIterator[Use]:
    """A program asks an LLM by itself."""
    model = lane.llm()

    async def use() -> list[str]:
        context = llm.ChatContext()
        context.add_message(role="user", content=QUESTION)
        async with model.chat(chat_ctx=context) as stream:
            return [each.delta.content or "" async for each in stream if each.delta is not None]

    yield use


@asynccontextmanager
async def speaking(_lane: Lane, speech: SpeechProvider) -> AsyncIterator[Use]:
    """A text is spoken as it comes."""
    voice = Voice(speech)

    async def use() -> float:
        async with voice.stream() as stream:
            stream.push_text("Breakfast is at seven. Dinner is at eight.")
            stream.end_input()
            return round(sum([event.frame.duration async for event in stream]), 2)

    yield use


@asynccontextmanager
async def listening(_lane: Lane, speech: SpeechProvider) -> AsyncIterator[Use]:
    """A caller is heard."""
    ear = Ear(speech)

    async def use() -> list[Any]:
        async with ear.stream() as stream:
            for length in (700, 500):
                stream.push_frame(frame(length))
                await asyncio.sleep(0)
            stream.end_input()
            return [(event.type, len(event.alternatives)) async for event in stream]

    yield use


async def seen(use: Use) -> Any:
    """What the program gets."""
    try:
        async with asyncio.timeout(10):
            return await use()
    except Exception as error:
        return "raised", repr(error)


ROOMS = {
    turn: "aden.instrumentation.livekit.",
    chat: "aden.",
    speaking: "aden.",
    listening: "aden.",
}
"""What is struck: of a turn, not once more what lies below a chat."""


# A destructor's own: Python itself tells of it.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("way", ROOMS)
def test_a_mistake_in_any_one_function_of_ours_is_not_heard(way: Any, lane: Lane) -> None:
    """Each function that a warm request enters fails at its first entry, one in each request."""
    with asyncio.Runner() as runner:
        provider = SpeechProvider().running()
        speech = runner.run(provider.__aenter__())
        bare = way(lane, speech)
        expected = runner.run(seen(runner.run(bare.__aenter__())))
        runner.run(bare.__aexit__(None, None, None))
        with lane.instrumented(budgets=[BUDGET]):
            runtime = current_runtime()
            assert runtime is not None
            world = way(lane, speech)
            use = runner.run(world.__aenter__())
            assert runner.run(seen(use)) == expected
            answers: list[Any] = []

            def ask() -> None:
                answers.append(runner.run(seen(use)))

            for name, code in below_the_door(ask):
                if not name.startswith(ROOMS[way]) or any(each in name for each in DOORS):
                    continue
                before = held(lane, BUDGET)
                came = mistaken(code, RuntimeError("a mistake of ours"), ask)
                assert answers.pop() == expected, name
                runner.run(asyncio.sleep(0))
                assert list(runtime.meter.leases._held) == [], name
                in_ledger = name.startswith("aden.ledger.")  # whose holds end with their leases
                assert not came or in_ledger or held(lane, BUDGET) == before, name
            runner.run(world.__aexit__(None, None, None))
        runner.run(provider.__aexit__(None, None, None))


def test_a_realtime_reply_that_could_not_be_decided_is_spoken(lane: Lane) -> None:
    """LiveKit would wait ten seconds for it, and the caller with it."""

    async def reply(session: Any) -> str:
        async with asyncio.timeout(5):
            return await heard(await session.generate_reply())

    with lane.instrumented(budgets=[BUDGET]), asyncio.Runner() as runner:
        talk = talking(lane, modalities=["text"])
        session = runner.run(talk.__aenter__())
        runner.run(ask(session))
        said: list[str] = []
        mistake = RuntimeError("a mistake of ours")
        assert mistaken(aadmit.__code__, mistake, lambda: said.append(runner.run(reply(session))))
        assert len(said[0]) > 10
        runner.run(talk.__aexit__(None, None, None))
        assert held(lane, BUDGET) == 0
