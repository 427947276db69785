"""Speech and transcripts of LiveKit's openai plugin, in a job of LiveKit's own."""

from __future__ import annotations

from typing import Any

import pytest
from jobs import in_a_job
from lane_kit import Lane, held, spent
from livekit import rtc
from livekit.agents import APIStatusError, JobContext
from livekit.agents.llm import ChatContext
from livekit.plugins import openai

from aden import BeforeRequestResult, Budget, RequestCancelledError, Throttle
from aden.ledger import Freeze
from aden.testing import OpenAIServer

SECOND = bytes(2 * 24_000)


async def speak(provider: OpenAIServer, model: str) -> bytes:
    """What the plugin makes of a sentence."""
    tts = openai.TTS(
        model=model, base_url=provider.base_url, api_key="sk-test", response_format="pcm"
    )
    async with tts.synthesize("Breakfast is at seven.") as stream:
        frames = [event.frame async for event in stream]
    await tts.aclose()
    return b"".join(bytes(frame.data) for frame in frames)


async def hear(provider: OpenAIServer, model: str) -> str:
    """What the plugin makes of a second of sound."""
    stt = openai.STT(model=model, base_url=provider.base_url, api_key="sk-test", use_realtime=False)
    event = await stt.recognize(rtc.AudioFrame(SECOND, 24_000, 1, 24_000))
    return event.alternatives[0].text


HOOK = {"before_request": lambda *_: BeforeRequestResult.cancel("no")}
OBSTACLES: dict[str, tuple[Budget, dict[str, Any], str]] = {
    "exhausted": (Budget("calls", 0), {}, "block"),
    "frozen": (Budget("calls", "1"), {}, "block"),
    "slowed": (Budget("calls", "1", ladder=[Throttle(0, 60_000)]), {}, "throttle"),
    "never over": (Budget("calls", "0.000001", overrun="never"), {}, "block"),
    "hook": (Budget("calls", "1"), HOOK, "allow"),
}


@pytest.mark.parametrize("obstacle", OBSTACLES)
async def test_a_running_turn_s_speech_is_never_refused_nor_delayed(
    obstacle: str, lane: Lane, provider: OpenAIServer
) -> None:
    """It is charged to the session, and says what would have been decided; the LLM is refused."""
    budget, options, would_be = OBSTACLES[obstacle]
    sessions: list[str] = []

    async def turn(ctx: JobContext) -> None:
        sessions.append(ctx.job.id)
        assert await hear(provider, "gpt-4o-mini-transcribe")
        assert await hear(provider, "whisper-1")
        assert await speak(provider, "gpt-4o-mini-tts")
        assert await speak(provider, "tts-1")
        if obstacle != "slowed":
            question = ChatContext.empty()
            question.add_message(role="user", content="When is breakfast?")
            with pytest.raises(RequestCancelledError):
                await lane.llm().chat(chat_ctx=question).collect()

    with lane.instrumented(budgets=[budget], **options):
        if obstacle == "frozen":
            lane.ledger.order(Freeze(budget.id, who="ann", why="a test"))
        await in_a_job(turn)
        spoken = [record for record in lane.records if record.model != "gpt-4o"]
        assert [record.model for record in spoken] == [
            "gpt-4o-mini-transcribe",
            "whisper-1",
            "gpt-4o-mini-tts",
            "tts-1",
        ]
        assert {record.decision.action for record in spoken} == {"allow"}
        assert {record.decision.delay_ms for record in spoken} == {0}
        assert {record.observed.action for record in spoken if record.observed} == {would_be}
        assert {record.attribution.session_id for record in spoken} == set(sessions)
        assert len(sessions) == 1
        costs = [item.nano_usd or 0 for item in provider.bill.items]
        assert [record.cost for record in spoken] == costs
        assert spent(lane, budget) == sum(costs)
        assert held(lane, budget) == 0


async def test_speech_outside_of_a_job_is_gated_as_any_request(
    lane: Lane, provider: OpenAIServer
) -> None:
    """Nobody's turn waits for it."""
    with lane.instrumented(budgets=[Budget("calls", 0)]):
        with pytest.raises(APIStatusError, match="exhausted"):
            await speak(provider, "tts-1")
        (refused, *_) = lane.records
    assert refused.decision.action == "block"
    assert not provider.bill.items
