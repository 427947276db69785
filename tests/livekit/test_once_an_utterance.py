"""What a refused caller hears is said once for what they said last, whatever asks for answers."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from caller import Speaker
from lane_kit import INSTRUCTIONS, Lane, until
from livekit.agents import Agent, function_tool
from telephone import sound_file
from test_heard import NOTHING_LEFT, SORRY, OpenLine, call

from aden import Budget, RequestCancelledError, requests
from aden.instrumentation.livekit import heard
from aden.livekit import Line

ONE = [Budget("calls", limit=requests(1))]
"""Enough for the answer that calls a tool."""


class Clerk(Agent):
    """An agent with a tool."""

    def __init__(self) -> None:
        super().__init__(instructions=INSTRUCTIONS)
        self.looked = 0

    @function_tool
    async def room(self, number: int) -> str:
        """Say whether a room is free."""
        self.looked += 1
        await self.look()
        return "The room is free."

    async def look(self) -> None:
        """Look."""


class Talking(Clerk):
    """One whose tool lets the agent say something meanwhile."""

    async def look(self) -> None:
        """Look."""
        self.session.generate_reply(instructions="Say that you are looking.")


class TalkingFirst(Clerk):
    """One whose tool waits until that is said."""

    async def look(self) -> None:
        """Look."""
        await self.session.generate_reply(instructions="Say that you are looking.")


class Checking(Clerk):
    """One whose ``llm_node`` has a second request, after the answer that calls a tool."""

    async def llm_node(self, *args: Any) -> AsyncIterator[Any]:
        """Answer, and check the answer."""
        async for chunk in Agent.default.llm_node(self, *args):
            yield chunk
        async for _ in Agent.default.llm_node(self, *args):
            pass


@pytest.mark.parametrize("on_refusal", ["say", "hand_over", "close"])
@pytest.mark.parametrize("agent", [Talking, TalkingFirst, Checking])
async def test_two_refused_answers_to_one_utterance_say_the_message_once(
    lane: Lane, agent: type[Clerk], on_refusal: str
) -> None:
    """Of one speech, or of two."""
    options: dict[str, Any] = {"on_refusal": on_refusal, "hand_over": lambda _: None}
    with lane.instrumented(budgets=ONE, refusal_message=SORRY, **options):
        clerk = agent()
        async with call(lane, clerk) as line:
            line.session.generate_reply(user_input="Please call the tool.")
            await until(lambda: len(line.errors) == 2 or line.closed)
            if on_refusal == "close":
                await until(lambda: line.closed)
            await asyncio.sleep(0.3)
            assert line.voice.spoken == [SORRY]
            assert clerk.looked == 1
    assert lane.asked == 1


async def test_what_the_caller_says_next_is_answered_anew(lane: Lane) -> None:
    """They are not left in silence."""
    with lane.instrumented(budgets=NOTHING_LEFT, refusal_message=SORRY):
        async with call(lane) as line:
            for _ in range(3):
                await line.turn()
            assert line.voice.spoken == [SORRY] * 3


async def test_another_message_is_said_as_well(lane: Lane) -> None:
    """It says something else."""
    words = iter(["Wait.", "Goodbye."])
    with lane.instrumented(budgets=NOTHING_LEFT, refusal_message=lambda _: next(words)):
        async with call(lane) as line:
            for _ in range(2):
                await line.session.generate_reply(instructions="Ask whether they are there.")
            assert line.voice.spoken == ["Wait.", "Goodbye."]


async def test_who_hears_nothing_for_long_is_told_again(
    lane: Lane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An agent may ask by itself, over and over, what the caller's silence means."""
    with lane.instrumented(budgets=NOTHING_LEFT, refusal_message=SORRY):
        async with call(lane) as line:
            await _again(line)
            await _again(line)
            assert line.voice.spoken == [SORRY]
            monkeypatch.setattr(heard, "AGAIN_S", 0.0)
            await _again(line)
            assert line.voice.spoken == [SORRY] * 2


async def _again(line: OpenLine) -> None:
    speech = line.session.generate_reply(instructions="Ask whether they are there.")
    await speech
    assert isinstance(speech.exception(), RequestCancelledError)


async def test_a_message_that_was_cut_off_is_said_again(lane: Lane, tmp_path: Path) -> None:
    """Nobody has heard it."""
    message = Line(SORRY, sound_file(tmp_path / "sorry.wav", 30.0))
    speaker = Speaker(in_real_time=True)
    with lane.instrumented(budgets=NOTHING_LEFT, refusal_message=message):
        async with call(lane) as line:
            line.session.output.audio = speaker
            line.session.generate_reply(instructions="Ask whether they are there.")
            await until(lambda: speaker.heard_s > 0)
            await line.session.interrupt()
            before = speaker.heard_s
            line.session.generate_reply(instructions="Ask whether they are there.")
            await until(lambda: speaker.heard_s > before)
            await line.session.interrupt()
