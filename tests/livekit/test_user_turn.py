"""What an agent asks before it answers, in ``on_user_turn_completed``: refused, it is heard too."""

import asyncio
from typing import Any

import pytest
from caller import Caller, Microphone
from lane_kit import INSTRUCTIONS, Lane, until
from livekit.agents import Agent, AgentSession, StopResponse, llm
from openai import AsyncOpenAI
from realtime_kit import model
from telephone import Earpiece, Voice
from test_heard import LISTENING, SORRY, OpenLine, call

from aden import BeforeRequestResult, Budget, RequestCancelledError

LOOK_UPS = Budget("look-ups", "0", scope={"model": "text-embedding-*"})
"""The answers themselves may cost what they like."""


class Librarian(Agent):
    """An agent that looks something up before it answers."""

    def __init__(self, lane: Lane) -> None:
        super().__init__(instructions=INSTRUCTIONS)
        self._client = AsyncOpenAI(base_url=lane.provider.base_url, api_key="sk-test")

    async def on_user_turn_completed(self, turn_ctx: Any, new_message: Any) -> None:
        """Look it up."""
        await self._client.embeddings.create(
            model="text-embedding-3-small", input=new_message.text_content or "silence"
        )
        turn_ctx.add_message(role="system", content="Breakfast is at seven.")


class Wrapping(Librarian):
    """One whose library raises errors of its own."""

    async def on_user_turn_completed(self, turn_ctx: Any, new_message: Any) -> None:
        """Look it up."""
        try:
            await super().on_user_turn_completed(turn_ctx, new_message)
        except RequestCancelledError as error:
            raise ExceptionGroup("two look-ups", [ValueError("other"), OSError()]) from error


class Asking(Librarian):
    """One that asks its own LLM."""

    async def on_user_turn_completed(self, turn_ctx: Any, new_message: Any) -> None:
        """Ask."""
        question = llm.ChatContext.empty()
        question.add_message(role="user", content=new_message.text_content)
        await self.session.llm.chat(chat_ctx=question).collect()  # type: ignore[union-attr]


class Alone(Librarian):
    """One without an LLM: what it looks up is its answer."""

    async def on_user_turn_completed(self, turn_ctx: Any, new_message: Any) -> None:
        """Answer."""
        await super().on_user_turn_completed(turn_ctx, new_message)
        self.session.say("Breakfast is at seven.")


class Silent(Librarian):
    """One that does not answer where it cannot look up."""

    async def on_user_turn_completed(self, turn_ctx: Any, new_message: Any) -> None:
        """Look it up, or say nothing."""
        try:
            await super().on_user_turn_completed(turn_ctx, new_message)
        except RequestCancelledError:
            raise StopResponse from None


def _said_by_the_user(line: OpenLine) -> list[str]:
    return [
        item.text_content
        for item in line.session.history.items
        if item.type == "message" and item.role == "user"
    ]


@pytest.mark.parametrize("agent", [Librarian, Wrapping, Asking])
async def test_a_look_up_that_is_refused_is_heard_as_a_refused_answer_is(
    lane: Lane, agent: type[Librarian]
) -> None:
    """Once; the program is told once; what the user said stays in the history; no draft is said."""
    budgets = [Budget("calls", "0")] if agent is Asking else [LOOK_UPS]
    with lane.instrumented(budgets=budgets, refusal_message=SORRY):
        async with call(lane, agent(lane), listens=True) as line:
            for number in (1, 2):
                await line.spoken_turn(number)
                await until(lambda turn=number: len(line.voice.spoken) == turn)
                await until(lambda turn=number: len(line.answers()) == turn)
            await asyncio.sleep(0.2)
            assert line.voice.spoken == [SORRY] * 2
            assert _said_by_the_user(line) == ["Plan day 1 for us", "Plan day 2 for us"]
            assert len(line.errors) == 2
            assert all(isinstance(e.error.error, RequestCancelledError) for e in line.errors)
            assert not line.closed


async def test_an_agent_without_an_llm_whose_answer_is_refused_is_heard(lane: Lane) -> None:
    """LiveKit makes no answer to a turn of such an agent; each that is refused is spoken to."""
    with lane.instrumented(budgets=[LOOK_UPS], refusal_message=SORRY):
        async with call(lane, Alone(lane), listens=True, llm=None) as line:
            for number in (1, 2):
                await line.spoken_turn(number)
                await until(lambda turn=number: len(line.answers()) == turn)
            assert line.voice.spoken == [SORRY] * 2
            said = line.session.current_agent.chat_ctx.messages()
            assert [each.text_content for each in said if each.role == "user"] == [
                "Plan day 1 for us",
                "Plan day 2 for us",
            ]


async def test_after_a_refused_look_up_the_next_turn_is_answered(lane: Lane) -> None:
    """The budget may have room again."""
    shut = [True]

    def hook(params: Any, _context: Any) -> Any:
        if shut and "embedding" in params["model"]:
            return BeforeRequestResult.cancel("no")
        return BeforeRequestResult.proceed()

    with lane.instrumented(before_request=hook, refusal_message=SORRY):
        async with call(lane, Librarian(lane), listens=True) as line:
            await line.spoken_turn(1)
            await until(lambda: line.answers() == [SORRY])
            shut.clear()
            await line.spoken_turn(2)
            await until(lambda: len(line.answers()) == 2)
            assert line.answers()[1] != SORRY


async def test_the_agent_is_left_as_it_was(lane: Lane) -> None:
    """Also where the program has put a hook on the object itself."""
    turns: list[str] = []

    async def note(turn_ctx: Any, new_message: Any) -> None:
        turns.append(new_message.text_content)

    with lane.instrumented():
        plain, own = Agent(instructions=INSTRUCTIONS), Agent(instructions=INSTRUCTIONS)
        own.on_user_turn_completed = note  # type: ignore[method-assign]
        for agent in (plain, own):
            async with call(lane, agent, listens=True) as line:
                await line.spoken_turn()
                await until(line.answers)
        assert "on_user_turn_completed" not in vars(plain)
        assert vars(own)["on_user_turn_completed"] is note
    assert turns == ["Plan day 1 for us"]


async def test_where_the_agent_wants_no_answer_nothing_is_said(lane: Lane) -> None:
    """It has caught the refusal itself."""
    with lane.instrumented(budgets=[LOOK_UPS], refusal_message=SORRY):
        async with call(lane, Silent(lane), listens=True) as line:
            await line.spoken_turn()
            await until(lambda: any(each.decision.action == "block" for each in lane.records))
            await asyncio.sleep(0.3)
            assert line.voice.spoken == []


async def test_with_raise_nothing_is_said_and_the_program_is_told(lane: Lane) -> None:
    """By the same event as of any refused answer."""
    with lane.instrumented(budgets=[LOOK_UPS], on_refusal="raise"):
        async with call(lane, Librarian(lane), listens=True) as line:
            await line.spoken_turn()
            await until(lambda: line.errors)
            await asyncio.sleep(0.2)
            assert line.voice.spoken == []
            assert len(line.errors) == 1


async def test_a_realtime_model_is_not_asked_where_the_look_up_is_refused(lane: Lane) -> None:
    """It would answer without what it needs."""
    voice, caller = Voice(), Caller()
    errors: list[Any] = []
    with lane.instrumented(budgets=[LOOK_UPS], refusal_message=SORRY):
        async with model(lane) as realtime:
            session: AgentSession[None] = AgentSession(
                llm=realtime, stt=caller, tts=voice, turn_handling=LISTENING
            )
            session.output.audio = Earpiece()
            session.on("error", errors.append)
            await session.start(Librarian(lane))
            try:
                session.input.audio = Microphone()
                caller.write("Plan a day")
                await until(lambda: errors)
                await asyncio.sleep(0.2)
            finally:
                await session.aclose()
    (event,) = errors
    assert isinstance(event.error.error, RequestCancelledError)
    assert not lane.provider.bill.items
