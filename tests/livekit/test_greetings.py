"""How an agent greets, in ``on_enter``: refused, the caller does not hold a silent line."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from lane_kit import INSTRUCTIONS, Lane, until
from livekit.agents import Agent, AgentTask, llm
from openai import AsyncOpenAI
from realtime_kit import agent as realtime_agent
from test_heard import NOTHING_LEFT, SORRY, call

from aden import RequestCancelledError


class Greeting(Agent):
    """An agent that greets."""

    def __init__(self, lane: Lane) -> None:
        super().__init__(instructions=INSTRUCTIONS)
        self.client = AsyncOpenAI(base_url=lane.provider.base_url, api_key="sk-test")

    async def ask(self) -> str:
        """What the SDK says."""
        answer = await self.client.chat.completions.create(
            model="gpt-4o", messages=[{"role": "user", "content": "Greet the caller."}]
        )
        return answer.choices[0].message.content or ""


class ByReply(Greeting):
    """By LiveKit's own words for it."""

    async def on_enter(self) -> None:
        """Greet."""
        await self.session.generate_reply(instructions="Greet the caller.")


class ByReplyUnawaited(Greeting):
    """As most examples have it."""

    async def on_enter(self) -> None:
        """Greet."""
        self.session.generate_reply(instructions="Greet the caller.")


class BySDK(Greeting):
    """By an SDK, whose answer it says."""

    async def on_enter(self) -> None:
        """Greet."""
        await self.session.say(await self.ask())


class ByStream(Greeting):
    """By an SDK, whose answer it says as it comes."""

    async def on_enter(self) -> None:
        """Greet."""
        await self.session.say(self._words())

    async def _words(self) -> AsyncIterator[str]:
        yield await self.ask()


class ByOwnStream(ByStream):
    """One whose library raises errors of its own in the midst of what it says."""

    async def _words(self) -> AsyncIterator[str]:
        try:
            yield await self.ask()
        except Exception as error:
            raise ValueError("no greeting") from error


class ByOwnLLM(Greeting):
    """By asking the session's LLM aside."""

    async def on_enter(self) -> None:
        """Greet."""
        question = llm.ChatContext.empty()
        question.add_message(role="user", content="Greet the caller.")
        said = await self.session.llm.chat(chat_ctx=question).collect()  # type: ignore[union-attr]
        await self.session.say(said.text)


class ByLibrary(Greeting):
    """By a library that raises errors of its own."""

    async def on_enter(self) -> None:
        """Greet."""
        try:
            await self.session.say(await self.ask())
        except Exception as error:
            raise ValueError("no greeting") from error


class Consent(AgentTask[None]):
    """A task that greets by an SDK."""

    def __init__(self, greeting: Greeting) -> None:
        super().__init__(instructions=INSTRUCTIONS)
        self._greeting = greeting

    async def on_enter(self) -> None:
        """Greet."""
        await self.session.say(await self._greeting.ask())


class ByTask(Greeting):
    """By a task of its own, whose error LiveKit hands on."""

    async def on_enter(self) -> None:
        """Greet."""
        await Consent(self)


class ThatRaises(Greeting):
    """One that makes an error of what its greeting came to."""

    async def on_enter(self) -> None:
        """Greet."""
        speech = self.session.generate_reply(instructions="Greet the caller.")
        await speech
        if (error := speech.exception()) is not None:
            raise error


GREETINGS = [
    ByReply,
    ByReplyUnawaited,
    BySDK,
    ByStream,
    ByOwnStream,
    ByOwnLLM,
    ByLibrary,
    ByTask,
    ThatRaises,
]


@pytest.mark.parametrize("on_refusal", ["say", "hand_over", "close"])
@pytest.mark.parametrize("agent", GREETINGS)
async def test_a_refused_greeting_is_heard_as_a_refused_answer_is(
    lane: Lane, agent: type[Greeting], on_refusal: str
) -> None:
    """Once, however the agent asks for it."""
    handed: list[Any] = []
    options: dict[str, Any] = {"on_refusal": on_refusal, "hand_over": handed.append}
    with lane.instrumented(budgets=NOTHING_LEFT, refusal_message=SORRY, **options):
        async with call(lane, agent(lane)) as line:
            await until(lambda: line.voice.spoken)
            if on_refusal == "close":
                await until(lambda: line.closed)
            await asyncio.sleep(0.3)
            assert line.voice.spoken == [SORRY]
            assert line.answers() == [SORRY]
            assert len(line.errors) == 1
            assert len(line.closed) == (on_refusal == "close")
        assert len(handed) == (on_refusal == "hand_over")
    assert lane.asked == 0


@pytest.mark.parametrize("agent", GREETINGS)
async def test_with_raise_nothing_is_said_and_the_program_is_told_once(
    lane: Lane, agent: type[Greeting]
) -> None:
    """It speaks itself."""
    with lane.instrumented(budgets=NOTHING_LEFT, on_refusal="raise"):
        async with call(lane, agent(lane)) as line:
            await until(lambda: line.errors)
            await asyncio.sleep(0.3)
            assert line.voice.spoken == []
            assert isinstance(line.errors[0].error.error, RequestCancelledError)
            assert len(line.errors) == 1
            async with asyncio.timeout(5):
                await line.session.say("We cannot talk now.")
            assert line.voice.spoken == ["We cannot talk now."]


async def test_with_raise_a_refused_stream_says_by_its_speech_why(lane: Lane) -> None:
    """LiveKit waits for ever for a speech whose words fail."""
    with lane.instrumented(budgets=NOTHING_LEFT, on_refusal="raise"):
        async with call(lane) as line:
            async with asyncio.timeout(5):
                speech = await line.session.say(ByStream(lane)._words())
            assert isinstance(speech.exception(), RequestCancelledError)
            assert line.answers() == []


@pytest.mark.parametrize("agent", [BySDK, ByStream])
async def test_an_agent_without_an_llm_is_heard_as_well(lane: Lane, agent: type[Greeting]) -> None:
    """It only speaks what the program asks elsewhere."""
    with lane.instrumented(budgets=NOTHING_LEFT, refusal_message=SORRY):
        async with call(lane, agent(lane), llm=None) as line:
            await until(lambda: line.answers() == [SORRY])
            assert line.voice.spoken == [SORRY]


async def test_a_greeting_that_a_hand_over_answers_by_another_agent_is_heard(lane: Lane) -> None:
    """What it gives is said before the agent goes."""

    def hand_over(refused: Any) -> str:
        refused.session.update_agent(Agent(instructions=INSTRUCTIONS))
        return "I connect you."

    with lane.instrumented(budgets=NOTHING_LEFT, on_refusal="hand_over", hand_over=hand_over):
        async with call(lane, BySDK(lane)) as line:
            await until(lambda: line.voice.spoken)
            await until(lambda: not isinstance(line.session.current_agent, BySDK))
            assert line.voice.spoken == ["I connect you."]


@pytest.mark.parametrize("agent", [BySDK, ByStream, ByReply, ThatRaises])
async def test_in_a_realtime_session_a_refused_greeting_is_heard_as_well(
    lane: Lane, agent: type[Greeting]
) -> None:
    """The model is not asked to greet without what the program wanted to say."""
    said: list[str] = []
    errors: list[Any] = []

    def added(event: Any) -> None:
        said.append(event.item.text_content)

    with lane.instrumented(budgets=NOTHING_LEFT, refusal_message=SORRY):
        async with realtime_agent(lane, made=lambda: agent(lane)) as session:
            session.on("conversation_item_added", added)
            session.on("error", errors.append)
            await until(lambda: said)
            await asyncio.sleep(0.2)
    assert said == [SORRY]
    assert len(errors) == 1
    assert not lane.provider.bill.items
