"""A ``tts_node`` of the program's own: what it asks, to speak, is never refused in a session."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from jobs import in_a_job
from lane_kit import INSTRUCTIONS, Lane
from livekit import rtc
from livekit.agents import Agent, JobContext, llm
from openai import AsyncOpenAI
from telephone import RATE
from test_heard import SORRY, call

from aden import BeforeRequestResult, Budget, RequestCancelledError

NOTHING_LEFT = [Budget("calls", "0")]


class Translator(Agent):
    """An agent whose words are translated before they are spoken."""

    def __init__(self, lane: Lane) -> None:
        super().__init__(instructions=INSTRUCTIONS)
        self._lane = lane
        self._sdk = AsyncOpenAI(base_url=lane.provider.base_url, api_key="sk-test")

    async def translate(self, text: str) -> str:
        """By the SDK."""
        asked: Any = [{"role": "user", "content": f"Translate in 5 tokens: {text}"}]
        answer = await self._sdk.chat.completions.create(model="gpt-4o-mini", messages=asked)
        return answer.choices[0].message.content or ""

    async def tts_node(self, text: Any, model_settings: Any) -> AsyncIterator[Any]:
        """Speak."""

        async def translated() -> AsyncIterator[str]:
            yield await self.translate("".join([piece async for piece in text]))

        async for frame in Agent.default.tts_node(self, translated(), model_settings):
            yield frame


class PluginTranslator(Translator):
    """One that asks by an LLM plugin."""

    async def translate(self, text: str) -> str:
        """By the plugin."""
        asked = llm.ChatContext.empty()
        asked.add_message(role="user", content=f"Translate in 5 tokens: {text}")
        return (await self._lane.llm("gpt-4o-mini").chat(chat_ctx=asked).collect()).text


class Narrator(Translator):
    """An agent that speaks by the SDK itself."""

    async def tts_node(self, text: Any, model_settings: Any) -> AsyncIterator[rtc.AudioFrame]:
        """Speak."""
        words = "".join([piece async for piece in text])
        async with self._sdk.audio.speech.with_streaming_response.create(
            model="tts-1", voice="alloy", input=words, response_format="pcm"
        ) as response:
            sound = await response.read()
        sound = sound[: len(sound) // 2 * 2]
        yield rtc.AudioFrame(sound, RATE, 1, len(sound) // 2)


@pytest.mark.parametrize("in_job", [False, True])
@pytest.mark.parametrize("agent", [Translator, PluginTranslator, Narrator])
async def test_the_refusal_of_an_answer_is_heard_through_it(
    lane: Lane, agent: type[Translator], in_job: bool
) -> None:
    """What is spoken is booked, on an exhausted budget too."""

    async def refused(_: JobContext | None = None) -> None:
        async with call(lane, agent(lane)) as line:
            async with asyncio.timeout(10):
                await line.turn()
            assert line.heard_s > 0
            assert len(line.answers()) == 1
            assert len(line.errors) == 1

    with lane.instrumented(budgets=NOTHING_LEFT):
        await (in_a_job(refused) if in_job else refused())
        answer, *spoken = lane.records
        assert answer.decision.action == "block"
        assert {each.decision.action for each in spoken} == {"allow"}
        paid = [each for each in spoken if each.provider == "openai"]
        assert sum(each.cost for each in paid) == lane.provider.bill.total_nano_usd > 0


async def test_an_answer_that_was_let_through_is_spoken_to_its_end(lane: Lane) -> None:
    """The hook is asked for the answer and not for each sentence of it."""
    asked: list[str] = []

    def hook(params: Any, _context: Any) -> BeforeRequestResult:
        asked.append(params["model"])
        return (
            BeforeRequestResult.proceed() if len(asked) == 1 else BeforeRequestResult.cancel("no")
        )

    with lane.instrumented(before_request=hook):
        async with call(lane, Translator(lane)) as line:
            async with asyncio.timeout(10):
                await line.session.run(user_input="When is breakfast?")
            assert len(line.voice.spoken) == 1
            with pytest.raises(RequestCancelledError):
                await line.session.run(user_input="How far is the beach?")
    assert asked == ["gpt-4o", "gpt-4o"]


async def test_what_is_asked_when_it_is_spoken_is_gated_again(lane: Lane) -> None:
    """Also where LiveKit's events of the speech have set it off."""
    asking: list[asyncio.Task[object]] = []

    with lane.instrumented(budgets=NOTHING_LEFT):
        async with call(lane) as line:
            spoken = asyncio.Event()

            async def summarise() -> object:
                await spoken.wait()
                asked = llm.ChatContext.empty()
                asked.add_message(role="user", content="Summarise the call.")
                return await lane.llm().chat(chat_ctx=asked).collect()

            def said(_event: object) -> None:
                asking.append(asyncio.create_task(summarise()))

            line.voice.on("metrics_collected", said)
            await line.turn()
            await asyncio.sleep(0.1)
            spoken.set()
            results = await asyncio.gather(*asking, return_exceptions=True)
    assert results
    assert all(isinstance(each, RequestCancelledError) for each in results)
    assert lane.asked == 0


async def test_an_answer_that_is_said_as_it_comes_is_refused_as_any(lane: Lane) -> None:
    """Whoever reads it first: here it is the ``tts_node``, which may ask what it likes."""

    async def answer() -> AsyncIterator[str]:
        asked = llm.ChatContext.empty()
        asked.add_message(role="user", content="When is breakfast?")
        yield (await lane.llm().chat(chat_ctx=asked).collect()).text

    with lane.instrumented(budgets=NOTHING_LEFT, refusal_message=SORRY):
        async with call(lane, Narrator(lane)) as line:
            await line.session.say(answer())
            assert line.answers() == [SORRY]
        asked = [each for each in lane.records if each.model == "gpt-4o"]
        assert [each.decision.action for each in asked] == ["block"]


class Subtitler(Translator):
    """An agent whose words are translated before they are read."""

    tts_node = Agent.tts_node  # type: ignore[assignment]

    async def transcription_node(self, text: Any, model_settings: Any) -> AsyncIterator[str]:
        """Write."""
        yield await self.translate("".join([piece async for piece in text]))


@pytest.mark.parametrize("is_heard", [True, False])
async def test_what_is_written_of_a_refusal_stays_in_the_history(
    lane: Lane, is_heard: bool
) -> None:
    """In a session without sound it is all that a caller gets."""
    with lane.instrumented(budgets=NOTHING_LEFT):
        async with call(lane, Subtitler(lane)) as line:
            line.session.output.set_audio_enabled(is_heard)
            await line.turn()
            assert len(line.answers()) == 1
            assert bool(line.voice.spoken) == is_heard
        assert {each.decision.action for each in lane.records if each.model == "gpt-4o-mini"} == {
            "allow"
        }
