"""An ``stt_node`` of the program's own: what it asks, to hear, is never refused in a session."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from lane_kit import INSTRUCTIONS, Lane, until
from livekit.agents import Agent, llm, stt
from openai import AsyncOpenAI
from test_heard import SORRY, OpenLine, call

from aden import Budget

NOTHING_LEFT = [Budget("calls", "0")]


class Corrector(Agent):
    """An agent that has what it hears put right."""

    def __init__(self, lane: Lane) -> None:
        super().__init__(instructions=INSTRUCTIONS)
        self._lane = lane

    async def correct(self, text: str) -> str:
        """By the SDK."""
        asked: Any = [{"role": "user", "content": f"Correct in 5 tokens: {text}"}]
        async with AsyncOpenAI(base_url=self._lane.provider.base_url, api_key="sk-test") as sdk:
            answer = await sdk.chat.completions.create(model="gpt-4o-mini", messages=asked)
        return answer.choices[0].message.content or ""

    async def stt_node(self, audio: Any, model_settings: Any) -> AsyncIterator[stt.SpeechEvent]:
        """Hear."""
        async for event in Agent.default.stt_node(self, audio, model_settings):
            if event.type == stt.SpeechEventType.FINAL_TRANSCRIPT:
                event.alternatives[0].text = await self.correct(event.alternatives[0].text)
            yield event


class PluginCorrector(Corrector):
    """One that asks by an LLM plugin."""

    async def correct(self, text: str) -> str:
        """By the plugin."""
        asked = llm.ChatContext.empty()
        asked.add_message(role="user", content=f"Correct in 5 tokens: {text}")
        return (await self._lane.llm("gpt-4o-mini").chat(chat_ctx=asked).collect()).text


class Prompt(Corrector):
    """One that answers from there."""

    async def correct(self, text: str) -> str:
        """Do not; answer at once."""
        self.session.generate_reply(user_input=text)
        return ""


async def _refused_twice(line: OpenLine) -> None:
    for turn in (1, 2):
        await line.caller.speak(final=f"Plan day {turn} for us")
        await until(lambda turn=turn: len(line.answers()) == turn)
    assert line.answers() == [SORRY] * 2
    assert line.heard_s > 0


@pytest.mark.parametrize("agent", [Corrector, PluginCorrector])
async def test_an_agent_whose_budget_is_used_up_does_not_go_deaf(
    lane: Lane, agent: type[Corrector]
) -> None:
    """What puts right what is heard is booked; the answer is refused, and the caller hears it."""
    with lane.instrumented(budgets=NOTHING_LEFT, refusal_message=SORRY):
        async with call(lane, agent(lane), listens=True) as line:
            await _refused_twice(line)
        asked = [each for each in lane.records if each.provider == "openai"]
        assert {each.decision.action for each in asked if each.model == "gpt-4o"} == {"block"}
        heard = [each for each in asked if each.model == "gpt-4o-mini"]
        assert {each.decision.action for each in heard} == {"allow"}
        assert sum(each.cost for each in heard) == lane.provider.bill.total_nano_usd > 0


async def test_an_answer_that_is_begun_there_is_refused_as_any(lane: Lane) -> None:
    """It is no part of what is heard."""
    with lane.instrumented(budgets=NOTHING_LEFT, refusal_message=SORRY):
        async with call(lane, Prompt(lane), listens=True) as line:
            await _refused_twice(line)
    assert lane.asked == 0
