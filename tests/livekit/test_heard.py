"""What a caller hears where a budget says no: never nothing, never twice, and the call goes on."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from caller import Caller, Microphone
from jobs import in_a_job
from lane_kit import INSTRUCTIONS, Lane, until
from livekit.agents import Agent, AgentSession, JobContext, TurnHandlingOptions, llm
from openai import AsyncOpenAI
from telephone import Earpiece, Voice, sound_file

import aden.livekit
from aden import (
    BeforeRequestContext,
    BeforeRequestResult,
    Budget,
    ConfigurationError,
    MeterOptions,
    RequestCancelledError,
)
from aden.budgets.heard import DEFAULT_MESSAGE
from aden.core.window import Window
from aden.instrumentation.livekit import turn
from aden.ledger import protocol
from aden.livekit import Line, RefusedTurn
from aden.testing import OpenAIServer

NOTHING_LEFT = [Budget("calls", "0")]
SORRY = "Sorry, not now."
LISTENING = TurnHandlingOptions(
    turn_detection="stt", endpointing={"min_delay": 0.05, "max_delay": 0.1}
)


class OpenLine:
    """A session that speaks and listens, and what came of it."""

    def __init__(self, session: Any, voice: Voice, caller: Caller) -> None:
        self.session = session
        self.voice = voice
        self.caller = caller
        self.errors: list[Any] = []
        self.closed: list[Any] = []
        session.on("error", self.errors.append)
        session.on("close", self.closed.append)

    @property
    def heard_s(self) -> float:
        """Seconds of sound that the caller heard."""
        ear = self.session.output.audio
        while ear.next_in_chain is not None:
            ear = ear.next_in_chain
        return float(ear.heard_s)

    async def turn(self) -> None:
        """One turn in text, which is refused."""
        with pytest.raises(RequestCancelledError):
            await self.session.run(user_input="When is breakfast?")

    async def spoken_turn(self, number: int = 1) -> None:
        """One turn with three drafts, to each of which LiveKit begins an answer."""
        await self.caller.speak(
            "Plan", "Plan a", "Plan a day", final=f"Plan day {number} for us", pause_s=0.05
        )

    def answers(self) -> list[str]:
        """What the agent said, by the history."""
        return [
            item.text_content
            for item in self.session.history.items
            if item.type == "message" and item.role == "assistant"
        ]


@asynccontextmanager
async def call(
    lane: Lane, agent: Agent | None = None, *, listens: bool = False, **options: Any
) -> AsyncIterator[OpenLine]:
    """A call that can be heard; only where it *listens* may the caller speak."""
    voice, caller = Voice(), Caller()
    settings: dict[str, Any] = {"llm": lane.llm(), "tts": voice}
    if listens:
        settings |= {"stt": caller, "turn_handling": LISTENING}
    session: AgentSession[None] = AgentSession(**{**settings, **options})
    session.output.audio = Earpiece()
    line = OpenLine(session, voice, caller)
    await session.start(agent or Agent(instructions=INSTRUCTIONS))
    if listens:
        session.input.audio = Microphone()
    try:
        yield line
    finally:
        await session.aclose()


async def test_a_refused_caller_hears_a_sentence_as_the_agent_s_answer(lane: Lane) -> None:
    """No provider is asked, LiveKit counts no model, and the program is told."""
    with lane.instrumented(budgets=NOTHING_LEFT):
        async with call(lane) as line:
            await line.turn()
            assert line.voice.said() == DEFAULT_MESSAGE
            assert line.heard_s > 0
            assert line.answers() == [DEFAULT_MESSAGE]
            (event,) = line.errors
            assert isinstance(event.error.error, RequestCancelledError)
            assert event.error.recoverable
            assert [row.type for row in line.session.usage.model_usage] == ["tts_usage"]
        assert not line.closed[:-1]
    assert lane.asked == 0
    (span,) = lane.spans("llm_request")
    assert span.attributes is not None
    assert span.attributes["error.type"] == "LiveKitRequestCancelledError"
    assert span.attributes["aden.decision.action"] == "block"


@pytest.mark.parametrize("on_refusal", ["say", "raise", "hand_over", "close"])
async def test_a_turn_with_three_drafts_is_refused_to_the_caller_once(
    lane: Lane, on_refusal: str
) -> None:
    """LiveKit begins four answers: one is told, spoken and handed over."""
    handed: list[RefusedTurn] = []
    options: dict[str, Any] = {"on_refusal": on_refusal, "hand_over": handed.append}
    with lane.instrumented(budgets=NOTHING_LEFT, refusal_message=SORRY, **options):
        async with call(lane, listens=True) as line:
            await line.spoken_turn()
            if on_refusal == "close":
                await until(lambda: line.closed)
            await until(lambda: line.errors)
            await asyncio.sleep(0.4)
            assert line.voice.spoken == ([] if on_refusal == "raise" else [SORRY])
            assert len(line.errors) == 1
            assert len(line.closed) == (on_refusal == "close")
        assert len(handed) == (on_refusal == "hand_over")
    assert lane.asked == 0


@pytest.mark.parametrize("adapter", [False, True])
@pytest.mark.parametrize("on_refusal", ["say", "raise", "hand_over"])
async def test_no_number_of_refusals_closes_a_session(
    lane: Lane, on_refusal: str, adapter: bool
) -> None:
    """Each turn is answered at once, with a FallbackAdapter too."""
    model: Any = llm.FallbackAdapter([lane.llm(), lane.llm("gpt-4.1")]) if adapter else lane.llm()
    options: dict[str, Any] = {"on_refusal": on_refusal, "hand_over": lambda _: None}
    with lane.instrumented(budgets=NOTHING_LEFT, refusal_message=SORRY, **options):
        async with call(lane, llm=model) as line:
            started = time.monotonic()
            for _ in range(6):
                await line.turn()
            assert time.monotonic() - started < 6
            assert line.voice.spoken == ([] if on_refusal == "raise" else [SORRY] * 6)
            assert [event.error.recoverable for event in line.errors] == [True] * 6
            assert all(
                isinstance(event.error.error, RequestCancelledError) for event in line.errors
            )
            assert not line.closed
    assert lane.asked == 0


async def test_what_is_said_may_come_from_a_function(lane: Lane) -> None:
    """Sync or async; it is told what was refused, where and to whom."""
    told: list[RefusedTurn] = []

    async def message(refused: RefusedTurn) -> str:
        told.append(refused)
        await asyncio.sleep(0)
        return f"Budget {refused.error.budget_id} is used up."

    with lane.instrumented(budgets=NOTHING_LEFT, refusal_message=message):
        async with call(lane) as line:
            await line.turn()
            assert line.voice.said() == "Budget calls is used up."
            (refused,) = told
            assert (refused.session, refused.agent) == (
                line.session,
                line.session.current_agent,
            )


def _raises(_refused: RefusedTurn) -> str:
    raise ValueError("no words")


async def _is_slow(_refused: RefusedTurn) -> str:
    await asyncio.sleep(60)
    return "too late"


def _gives_a_number(_refused: RefusedTurn) -> Any:
    return 7


async def _waits_for_what_is_cancelled(_refused: RefusedTurn) -> str:
    transfer = asyncio.create_task(asyncio.sleep(5, "transferred"))
    asyncio.get_running_loop().call_later(0.01, transfer.cancel)
    return await transfer


@pytest.mark.parametrize(
    "function", [_raises, _is_slow, _gives_a_number, _waits_for_what_is_cancelled]
)
@pytest.mark.parametrize("setting", ["refusal_message", "hand_over"])
async def test_a_function_that_fails_leaves_no_caller_in_silence(
    lane: Lane, function: Any, setting: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The default sentence is said, soon, and the log says what was wrong."""
    with lane.instrumented(budgets=NOTHING_LEFT, on_refusal="hand_over", **{setting: function}):
        async with call(lane) as line:
            started = asyncio.get_running_loop().time()
            await line.turn()
            assert line.voice.said() == DEFAULT_MESSAGE
            assert line.voice.spoken_at[0] - started < 2.0  # promised: 0.3 s
    if function is not _is_slow:
        assert "a refused caller does not hear what is configured" in caplog.text


async def test_what_a_hand_over_gives_is_said_and_an_empty_text_is_silence(lane: Lane) -> None:
    """None: the refusal message."""
    words = iter(["I connect you.", "", None])
    with lane.instrumented(
        budgets=NOTHING_LEFT,
        on_refusal="hand_over",
        hand_over=lambda _: next(words),
        refusal_message=SORRY,
    ):
        async with call(lane) as line:
            for _ in range(3):
                await line.turn()
            assert line.voice.spoken == ["I connect you.", SORRY]


class Clerk(Agent):
    """Greets whoever is handed over; which is refused as well."""

    async def on_enter(self) -> None:
        """Take over."""
        self.session.generate_reply(instructions="Greet the caller.")


async def test_a_hand_over_to_another_agent_that_is_refused_too_does_not_go_round(
    lane: Lane,
) -> None:
    """It is called once for what the user said; the next agent's refusal is spoken."""
    handed: list[RefusedTurn] = []

    def hand_over(refused: RefusedTurn) -> str:
        handed.append(refused)
        refused.session.update_agent(Clerk(instructions=INSTRUCTIONS))
        return "One moment."

    with lane.instrumented(
        budgets=NOTHING_LEFT, on_refusal="hand_over", hand_over=hand_over, refusal_message=SORRY
    ):
        async with call(lane) as line:
            await line.turn()
            await until(lambda: len(line.voice.spoken) >= 2)
            await asyncio.sleep(0.3)
            assert line.voice.spoken == ["One moment.", SORRY]
            assert isinstance(line.session.current_agent, Clerk)
            assert len(handed) == 1
            await line.turn()
            assert len(handed) == 2  # the caller has said something new
            assert not line.closed
    assert lane.asked == 0


async def test_a_hand_over_may_end_the_call_itself(lane: Lane) -> None:
    """What is said is heard first."""
    with lane.instrumented(
        budgets=NOTHING_LEFT,
        on_refusal="hand_over",
        hand_over=lambda refused: refused.session.shutdown(),
        refusal_message=SORRY,
    ):
        async with call(lane, listens=True) as line:
            await line.spoken_turn()
            await until(lambda: line.closed)
            assert line.voice.spoken == [SORRY]
            assert line.closed[0].error is None


async def test_close_ends_the_session_when_the_sentence_is_over(lane: Lane) -> None:
    """Gracefully: as LiveKit's own shutdown, without an error."""
    with lane.instrumented(budgets=NOTHING_LEFT, on_refusal="close", refusal_message=SORRY):
        async with call(lane, listens=True) as line:
            await line.spoken_turn()
            await until(lambda: line.closed)
            assert line.voice.spoken == [SORRY]
            assert line.answers() == [SORRY]
            assert line.closed[0].error is None


async def test_in_a_job_close_ends_the_job_as_well(lane: Lane) -> None:
    """An agent that stays in the room and says nothing would be a dead line."""
    reasons: list[str] = []

    async def entrypoint(ctx: JobContext) -> None:
        async def ended(reason: str) -> None:
            reasons.append(reason)

        ctx.add_shutdown_callback(ended)
        async with call(lane) as line:
            line.session.generate_reply(user_input="When is breakfast?")
            await until(lambda: line.closed)
            assert line.voice.spoken == [SORRY]

    with lane.instrumented(budgets=NOTHING_LEFT, on_refusal="close", refusal_message=SORRY):
        await in_a_job(entrypoint)
    assert reasons == ["aden: refused"]


class Night(Agent):
    """An agent with a word of its own."""

    aden_on_refusal = "close"

    def aden_refusal_message(self, refused: RefusedTurn) -> str:
        """What it says."""
        return f"{self.label} is closed."


async def test_the_agent_s_word_counts_before_the_budget_s_and_that_before_the_process_s(
    lane: Lane,
) -> None:
    """Each setting by itself."""
    budget = Budget("calls", "0", on_refusal="say", refusal_message="The budget is used up.")
    with lane.instrumented(budgets=[budget], on_refusal="raise", refusal_message=SORRY):
        async with call(lane) as line:
            await line.turn()
            assert line.voice.spoken == ["The budget is used up."]
        agent = Night(instructions=INSTRUCTIONS)
        async with call(lane, agent, listens=True) as line:
            await line.spoken_turn()
            await until(lambda: line.closed)
            assert line.voice.spoken == [f"{agent.label} is closed."]


async def test_a_budget_of_one_call_has_a_word_of_its_own(lane: Lane) -> None:
    """Though it stands in no policy."""

    async def entrypoint(ctx: JobContext) -> None:
        aden.livekit.session_budget(ctx, "0", refusal_message="Your call is over.")
        async with call(lane) as line:
            await line.turn()
            assert line.voice.spoken == ["Your call is over."]

    with lane.instrumented(refusal_message=SORRY):
        await in_a_job(entrypoint)


async def test_what_an_agent_cannot_mean_is_said_in_the_log(
    lane: Lane, caplog: pytest.LogCaptureFixture
) -> None:
    """The process's word holds."""
    agent = Agent(instructions=INSTRUCTIONS)
    agent.aden_on_refusal = "shout"  # type: ignore[attr-defined]
    with lane.instrumented(budgets=NOTHING_LEFT, refusal_message=SORRY):
        async with call(lane, agent) as line:
            await line.turn()
            assert line.voice.spoken == [SORRY]
    assert "Agent.aden_on_refusal='shout'" in caplog.text


class Broken(Agent):
    """An agent whose own word cannot be read."""

    broken = False

    @property
    def aden_on_refusal(self) -> str:
        """Fail; not while LiveKit looks for the agent's tools."""
        if self.broken:
            raise LookupError("no word")
        return "say"


async def test_an_agent_whose_word_cannot_be_read_leaves_no_caller_in_silence(
    lane: Lane, caplog: pytest.LogCaptureFixture
) -> None:
    """The default sentence is said, and the log says why."""
    with lane.instrumented(budgets=NOTHING_LEFT, refusal_message=SORRY):
        agent = Broken(instructions=INSTRUCTIONS)
        async with call(lane, agent) as line:
            agent.broken = True
            await line.session.run(user_input="When is breakfast?")
            assert line.voice.said() == DEFAULT_MESSAGE
    assert "LookupError: no word" in caplog.text


async def test_a_sound_file_is_played_instead_of_being_spoken(lane: Lane, tmp_path: Path) -> None:
    """No TTS is asked, and its text stands in the history."""
    audio = sound_file(tmp_path / "sorry.wav", 0.5)
    with lane.instrumented(budgets=NOTHING_LEFT, refusal_message=Line(SORRY, audio)):
        async with call(lane) as line:
            await line.turn()
            await until(line.answers)
            assert line.voice.spoken == []
            assert line.heard_s > 0.3  # far longer than the voice, short of what the decoder keeps
            assert line.answers() == [SORRY]
            audio.unlink()
            await line.turn()
            assert line.voice.spoken == [SORRY]


@pytest.mark.parametrize("data", [b"", b"no sound" * 1000, b"RIFF\0\0\0\0WAVEfmt "])
async def test_a_sound_file_in_which_there_is_nothing_to_hear_leaves_no_caller_in_silence(
    lane: Lane, tmp_path: Path, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Its text is spoken, once, and the log says why."""
    audio = tmp_path / "sorry.wav"
    audio.write_bytes(data)
    with lane.instrumented(budgets=NOTHING_LEFT, refusal_message=Line(SORRY, audio)):
        async with call(lane) as line:
            await line.turn()
            assert line.voice.spoken == [SORRY]
            assert line.answers() == [SORRY]
    assert "sorry.wav" in caplog.text


class OwnSDK(Agent):
    """An agent whose ``llm_node`` asks an SDK itself."""

    def __init__(self, provider: OpenAIServer) -> None:
        super().__init__(instructions=INSTRUCTIONS)
        self._client = AsyncOpenAI(base_url=provider.base_url, api_key="sk-test")

    async def llm_node(self, *_: Any) -> AsyncIterator[str]:
        """Ask."""
        stream = await self._client.chat.completions.create(
            model="gpt-4o", messages=[{"role": "user", "content": "Hello"}], stream=True
        )
        async for chunk in stream:
            if chunk.choices and chunk.choices[0].delta.content:
                yield chunk.choices[0].delta.content


async def test_a_refusal_of_an_sdk_inside_the_llm_node_is_heard_as_well(
    lane: Lane, provider: OpenAIServer
) -> None:
    """The program is told of it by the same event."""
    with lane.instrumented(budgets=NOTHING_LEFT, refusal_message=SORRY):
        async with call(lane, OwnSDK(provider)) as line:
            await line.turn()
            assert line.voice.spoken == [SORRY]
            (event,) = line.errors
            assert isinstance(event.error.error, RequestCancelledError)
            assert event.error.recoverable
    assert lane.asked == 0


class Careful(Agent):
    """An agent that answers a refusal itself."""

    async def llm_node(self, *args: Any) -> AsyncIterator[Any]:
        """Catch it."""
        try:
            async for chunk in Agent.default.llm_node(self, *args):
                yield chunk
        except RequestCancelledError as refusal:
            yield f"My own words: {refusal.reason}."


async def test_an_agent_that_catches_the_refusal_says_its_own_words(lane: Lane) -> None:
    """Nothing is said beside them, and the turn is no failure."""
    with lane.instrumented(budgets=NOTHING_LEFT):
        async with call(lane, Careful(instructions=INSTRUCTIONS)) as line:
            await line.session.run(user_input="When is breakfast?")
            assert line.voice.spoken == ["My own words: exhausted."]


async def test_a_request_that_is_no_answer_raises_and_is_not_spoken(lane: Lane) -> None:
    """A summary that a program asks for is for the program, not for a caller."""
    question = llm.ChatContext.empty()
    question.add_message(role="user", content="Summarise the call.")
    with lane.instrumented(budgets=NOTHING_LEFT):
        async with call(lane) as line:
            with pytest.raises(RequestCancelledError):
                await line.session.llm.chat(chat_ctx=question).collect()
            assert line.voice.spoken == []


class Throttling:
    """A hook that delays each request."""

    def __init__(self, delay_ms: int) -> None:
        self.delay_ms = delay_ms

    def __call__(
        self, params: Mapping[str, Any], context: BeforeRequestContext
    ) -> BeforeRequestResult:
        """Delay."""
        return BeforeRequestResult.throttle(delay_ms=self.delay_ms)


@pytest.mark.parametrize(("delay_ms", "spoken"), [(1500, ["One moment."]), (200, [])])
async def test_a_caller_who_has_to_wait_hears_a_filler(
    lane: Lane, delay_ms: int, spoken: list[str]
) -> None:
    """At once, not when the answer is there; a short wait needs no words."""
    hook = Throttling(delay_ms)
    with lane.instrumented(before_request=hook, filler_message="One moment."):
        async with call(lane) as line:
            answer = line.session.generate_reply(user_input="When is breakfast?")
            if spoken:
                await until(lambda: line.voice.spoken)
                assert lane.asked == 0
            await answer
            assert line.voice.spoken[: len(spoken)] == spoken
            assert "One moment." not in line.voice.spoken[len(spoken) :]
            assert lane.asked == 1
            assert len(line.voice.spoken) > len(spoken)


async def test_a_caller_hears_a_filler_while_an_sdk_inside_the_llm_node_waits(
    lane: Lane, provider: OpenAIServer
) -> None:
    """Whoever asks for the answer."""
    with lane.instrumented(before_request=Throttling(1500), filler_message="One moment."):
        async with call(lane, OwnSDK(provider)) as line:
            answer = line.session.generate_reply(user_input="When is breakfast?")
            await until(lambda: line.voice.spoken)
            assert (line.voice.spoken, lane.asked) == (["One moment."], 0)
            await answer
            assert len(line.voice.spoken) > 1
            assert line.voice.spoken.count("One moment.") == 1


async def test_an_sdk_inside_the_llm_node_waits_for_a_refund(
    lane: Lane, provider: OpenAIServer
) -> None:
    """As a plugin's request does: what another turn holds is given back soon."""
    with lane.instrumented(budgets=[Budget("all", "1")]):
        all_of_it = protocol.Line("all", Window("total"), 10**9, 10**9, 0)
        lane.ledger.reserve(protocol.Ask("another", (protocol.Option((all_of_it,)),)))
        async with call(lane, OwnSDK(provider)) as line:
            give_back = partial(lane.ledger.settle, protocol.Settlement("another"))
            asyncio.get_running_loop().call_later(0.1, give_back)
            await line.session.run(user_input="When is breakfast?")
            assert lane.asked == 1


async def test_drafts_that_are_throttled_speak_one_filler(lane: Lane) -> None:
    """Those that LiveKit discards speak none."""
    with lane.instrumented(before_request=Throttling(1500), filler_message="One moment."):
        async with call(lane, listens=True) as line:
            await line.spoken_turn()
            await until(line.answers)
            assert line.voice.spoken.count("One moment.") == 1


class Noting(Agent):
    """An agent whose ``llm_node`` lets something be noted in the background."""

    def __init__(self, lane: Lane) -> None:
        super().__init__(instructions=INSTRUCTIONS)
        self._lane = lane
        self.answered = asyncio.Event()
        self.noting: asyncio.Task[Any] | None = None

    async def llm_node(self, *_: Any) -> AsyncIterator[str]:
        """Answer."""
        self.noting = asyncio.create_task(self._note())
        yield "At seven."

    async def _note(self) -> None:
        await self.answered.wait()
        question = llm.ChatContext.empty()
        question.add_message(role="user", content="Note it.")
        await self._lane.llm().chat(chat_ctx=question).collect()


async def test_what_goes_on_after_an_answer_speaks_no_filler(lane: Lane) -> None:
    """Nobody waits for it, and the answer's channels are closed."""
    gc.collect()  # other tests' clients close themselves in whatever loop runs, and fail there
    await asyncio.sleep(0.01)
    failures: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
    with lane.instrumented(before_request=Throttling(900), filler_message="One moment."):
        agent = Noting(lane)
        async with call(lane, agent) as line:
            await line.session.run(user_input="When is breakfast?")
            agent.answered.set()
            assert agent.noting is not None
            await agent.noting
            agent.noting = None
            assert line.voice.spoken == ["At seven."]
        gc.collect()
    assert not failures


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"on_refusal": "shout"}, "say | raise | hand_over | close"),
        ({"refusal_message": ""}, "a text, a Line or a function"),
        ({"refusal_message": 7}, "a text, a Line or a function"),
        ({"refusal_message": aden.livekit.Line(" ")}, "a text, a Line or a function"),
        ({"refusal_message": aden.livekit.Line("", __file__)}, "a text, a Line or a function"),
        ({"hand_over": "transfer"}, "a function, sync or async"),
        ({"filler_message": 7}, "a string"),
    ],
)
def test_what_cannot_be_meant_is_refused_at_once(options: dict[str, Any], said: str) -> None:
    """With the setting's name, its value and what is allowed."""
    with pytest.raises(ConfigurationError, match=next(iter(options))) as error:
        MeterOptions(**options)
    assert said in error.value.allowed


def test_a_line_s_sound_file_has_to_be_there(tmp_path: Path) -> None:
    """Not found out when the caller is to hear it."""
    with pytest.raises(ConfigurationError, match=r"Line\.audio"):
        aden.livekit.Line("Sorry.", tmp_path / "none.wav")


async def test_a_draft_that_livekit_forgets_is_told_of_in_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The refusal, and no time-out of ours, is what the agent gets."""
    monkeypatch.setattr(turn, "SCHEDULED_S", 0.01)
    forgotten = SimpleNamespace(_wait_for_scheduled=asyncio.Event().wait)
    turn.current_turn.set(turn.Turn(None, forgotten, None))
    async with asyncio.timeout(5):
        await turn.meant()
