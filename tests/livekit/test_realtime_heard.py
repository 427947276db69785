"""What a caller hears where a realtime reply is refused: as `on_refusal` says."""

from typing import Any

import pytest
from lane_kit import INSTRUCTIONS, Lane, until
from livekit import rtc
from livekit.agents import Agent, AgentSession
from livekit.agents.voice.io import AudioOutput, AudioOutputCapabilities
from realtime_fake import OtherModel
from realtime_kit import QUESTION, agent, rt_session, speak
from test_heard import Broken
from test_realtime_turns import DETECTS

from aden import Budget, RequestCancelledError
from aden.budgets.heard import DEFAULT_MESSAGE

CLOSED = Budget("calls", "0")


@pytest.fixture
def said() -> list[str]:
    """What the agent says."""
    return []


def _listen(session: Any, said: list[str], closed: list[Any] | None = None) -> None:
    def added(event: Any) -> None:
        if event.item.role == "assistant":
            said.append(event.item.text_content)

    session.on("conversation_item_added", added)
    session.on("close", (closed if closed is not None else []).append)


async def test_the_refusal_message_is_said_and_run_raises_the_refusal(
    lane: Lane, said: list[str]
) -> None:
    """As with an LLM: the caller hears a sentence, the program gets the error."""
    with lane.instrumented(budgets=[CLOSED], refusal_message="The money is gone."):
        async with agent(lane) as session:
            _listen(session, said)
            with pytest.raises(RequestCancelledError):
                await session.run(user_input=QUESTION)
            await until(lambda: said)
    assert said == ["The money is gone."]


async def test_with_raise_nothing_is_said(lane: Lane, said: list[str]) -> None:
    """The program speaks."""
    errors: list[Any] = []
    with lane.instrumented(budgets=[CLOSED], on_refusal="raise"):
        async with agent(lane) as session:
            _listen(session, said)
            session.on("error", errors.append)
            with pytest.raises(RequestCancelledError):
                await session.run(user_input=QUESTION)
            await until(lambda: errors)
    assert not said
    assert len(errors) == 1


async def test_with_close_the_session_ends_when_the_message_is_said(
    lane: Lane, said: list[str]
) -> None:
    """Also where the server answers by itself."""
    closed: list[Any] = []
    lane.provider.ttft_s = 0.5  # decided before it begins
    with lane.instrumented(budgets=[CLOSED], on_refusal="close", refusal_message="Goodbye."):
        async with agent(lane, **DETECTS) as session:
            _listen(session, said, closed)
            speak(rt_session(session))
            await until(lambda: closed)
    assert said == ["Goodbye."]


async def test_a_hand_over_is_called_once_for_what_the_caller_said_last(
    lane: Lane, said: list[str]
) -> None:
    """The agent that it switches to greets, is refused as well, and the message is said."""
    handed: list[Any] = []

    class Voicemail(Agent):
        def __init__(self) -> None:
            super().__init__(instructions=INSTRUCTIONS)

        async def on_enter(self) -> None:
            self.session.generate_reply(instructions="Greet the caller.")

    def hand_over(refused: Any) -> str:
        handed.append(refused.agent)
        refused.session.update_agent(Voicemail())
        return ""

    with lane.instrumented(
        budgets=[CLOSED], on_refusal="hand_over", hand_over=hand_over, refusal_message="Sorry."
    ):
        async with agent(lane) as session:
            _listen(session, said)
            session.generate_reply(user_input=QUESTION)
            await until(lambda: said)
    assert said == ["Sorry."]
    assert len(handed) == 1


class _Speaker(AudioOutput):
    def __init__(self) -> None:
        able = AudioOutputCapabilities(pause=False)
        super().__init__(label="speaker", capabilities=able, sample_rate=24_000)

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        await super().capture_frame(frame)

    def flush(self) -> None:
        super().flush()

    def clear_buffer(self) -> None:
        pass


async def test_with_close_a_session_that_cannot_speak_the_message_ends_at_once(
    lane: Lane, caplog: pytest.LogCaptureFixture
) -> None:
    """It plays sound, and there is no TTS; the program is told."""
    closed: list[Any] = []
    with lane.instrumented(budgets=[CLOSED], on_refusal="close"):
        session: AgentSession[None] = AgentSession(llm=OtherModel())
        session.output.audio = _Speaker()
        await session.start(Agent(instructions=INSTRUCTIONS))
        _listen(session, [], closed)
        session.generate_reply(user_input=QUESTION)
        await until(lambda: closed)
    assert "a refusal could not be spoken" in caplog.text


async def test_an_agent_whose_word_cannot_be_read_leaves_no_caller_in_silence(
    lane: Lane, said: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """As with an LLM: the default sentence is said, and the log says why."""
    broken = Broken(instructions=INSTRUCTIONS)
    with lane.instrumented(budgets=[CLOSED]):
        async with agent(lane, made=lambda: broken) as session:
            _listen(session, said)
            broken.broken = True
            session.generate_reply(user_input=QUESTION)
            await until(lambda: said)
    assert said == [DEFAULT_MESSAGE]
    assert "LookupError: no word" in caplog.text


async def test_what_a_program_asks_upon_the_message_is_gated(lane: Lane, said: list[str]) -> None:
    """Only the message itself is exempt, and not what LiveKit's events of it set off."""
    errors: list[Any] = []
    with lane.instrumented(budgets=[CLOSED], refusal_message="Sorry."):
        async with agent(lane) as session:
            _listen(session, said)
            session.on("error", errors.append)
            session.on(
                "conversation_item_added",
                lambda event: (
                    event.item.role == "assistant"
                    and session.generate_reply(instructions="Ask whether they are there.")
                ),
            )
            session.generate_reply(user_input=QUESTION)
            await until(lambda: len(errors) == 2)
    assert said == ["Sorry."]
    assert not lane.provider.bill.items
