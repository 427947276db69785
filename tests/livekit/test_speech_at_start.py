"""Refusing speech is opt-in, and only before a session begins."""

from typing import Any

import pytest
from caller import Microphone, Speaker
from lane_kit import Lane, held
from livekit.agents import Agent, AgentSession, APIStatusError
from speech_provider import Ear, SpeechProvider, Voice

from aden import BeforeRequestResult, Budget, RequestCancelledError

TEXT = "Breakfast is at seven."
EXHAUSTED = Budget("calls", 0)


def session_of(lane: Lane, speech: SpeechProvider, **options: Any) -> AgentSession[None]:
    """A session that hears and speaks."""
    session: AgentSession[None] = AgentSession(llm=lane.llm(), **options)
    session.input.audio, session.output.audio = Microphone(), Speaker()
    return session


@pytest.mark.parametrize("kind", ["stt", "tts"])
@pytest.mark.parametrize("owner", ["session", "agent"])
async def test_a_session_whose_speech_is_refused_does_not_start(
    kind: str, owner: str, lane: Lane
) -> None:
    """Nothing was opened, and the error is LiveKit's too."""
    async with SpeechProvider().running() as speech:
        plugin: dict[str, Any] = {kind: Ear(speech) if kind == "stt" else Voice(speech)}
        with lane.instrumented(budgets=[EXHAUSTED], refuse_speech=True):
            session = session_of(lane, speech, **(plugin if owner == "session" else {}))
            agent = Agent(instructions="Hm.", **(plugin if owner == "agent" else {}))
            with pytest.raises(RequestCancelledError) as refused:
                await session.start(agent)
            assert isinstance(refused.value, APIStatusError)
            assert (refused.value.reason, refused.value.budget_id) == ("exhausted", "calls")
            (record,) = lane.records
            assert (record.decision.action, record.attempts) == ("block", 0)
            assert held(lane, EXHAUSTED) == 0
            await session.aclose()
        assert speech.bill == []
    (span,) = lane.spans(f"generate_content {record.model}")
    assert span.attributes is not None
    assert span.attributes["aden.decision.action"] == "block"


async def test_a_session_that_is_borne_starts_and_is_never_refused_after_that(lane: Lane) -> None:
    """The hold of the question is given back, and nobody sees a request in it."""
    budget = Budget("calls", "1")
    asked: list[str] = []

    def hook(params: Any, _context: Any) -> BeforeRequestResult:
        asked.append(params["model"])
        said_no = len(asked) > 2
        return BeforeRequestResult.cancel("no") if said_no else BeforeRequestResult.proceed()

    async with SpeechProvider().running() as speech:
        options = {"refuse_speech": True, "before_request": hook}
        with lane.instrumented(budgets=[budget], **options):
            session = session_of(lane, speech, stt=Ear(speech), tts=Voice(speech))
            await session.start(Agent(instructions="Hm."))
            assert asked == ["nova-3", "sonic-3.5"]
            assert lane.records == []
            speaker = session.output.audio
            await session.say(TEXT)
            await session.aclose()
            assert isinstance(speaker, Speaker)
            assert speaker.heard_s > 0.5
            assert held(lane, budget) == 0


async def test_by_default_a_session_starts_on_whatever_budget(lane: Lane) -> None:
    """The next answer of its LLM is where an exhausted budget acts."""
    async with SpeechProvider().running() as speech:
        with lane.instrumented(budgets=[EXHAUSTED]):
            session = session_of(lane, speech, tts=Voice(speech))
            await session.start(Agent(instructions="Hm."))
            await session.say(TEXT)
            await session.aclose()
        assert speech.nano_usd > 0
