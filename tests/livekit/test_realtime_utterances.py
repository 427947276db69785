"""Each thing that a caller says to a realtime model and is refused is answered by a sentence."""

from typing import Any

from caller import Caller, Microphone
from lane_kit import INSTRUCTIONS, Lane, until
from livekit.agents import Agent, AgentSession
from realtime_fake import OtherModel
from realtime_kit import model
from telephone import Earpiece, Voice
from test_heard import LISTENING, SORRY

from aden import Budget


async def _session(llm: Any, voice: Voice, **options: Any) -> AgentSession[None]:
    session: AgentSession[None] = AgentSession(llm=llm, tts=voice, **options)
    session.output.audio = Earpiece()
    await session.start(Agent(instructions=INSTRUCTIONS))
    return session


async def test_where_livekit_detects_the_turns_each_is_told_by_itself(lane: Lane) -> None:
    """The model tells of no speech then, and nothing that was said stands in the history."""
    voice, caller = Voice(), Caller()
    with lane.instrumented(budgets=[Budget("calls", "0")], refusal_message=SORRY):
        async with model(lane, modalities=["text"]) as realtime:
            session = await _session(realtime, voice, stt=caller, turn_handling=LISTENING)
            session.input.audio = Microphone()
            for turn in (1, 2, 3):
                await caller.speak("Plan", final=f"Plan day {turn}", pause_s=0.05)
                await until(lambda count=turn: len(voice.spoken) == count)
            await session.aclose()
    assert voice.spoken == [SORRY] * 3


async def test_where_a_plugin_tells_of_no_speech_each_reply_is_told_by_itself(lane: Lane) -> None:
    """A server answers what was said, and by itself nothing else."""
    voice, realtime = Voice(), OtherModel(detects_turns=True)
    with lane.instrumented(budgets=[Budget("calls", "0")], refusal_message=SORRY):
        session = await _session(realtime, voice)
        for turn in (1, 2, 3):
            realtime.made[0].begin()
            await until(lambda count=turn: voice.spoken.count(SORRY) == count)
        await session.aclose()
    assert voice.spoken.count(SORRY) == 3  # beside what was said before it could be cut off
