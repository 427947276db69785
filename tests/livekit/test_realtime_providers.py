"""Realtime plugins of any provider: metered from what LiveKit tells, through adapters once."""

import asyncio
from typing import Any

import pytest
from lane_kit import INSTRUCTIONS, Lane, held, spent, until
from livekit.agents import Agent, AgentSession, llm
from livekit.agents.metrics import RealtimeModelMetrics
from realtime_fake import OtherModel, Relay, metrics
from realtime_kit import QUESTION, WIDE, agent, ask, heard, model

from aden import BeforeRequestResult, Budget, RequestCancelledError

CLOSED = Budget("calls", "0")
SPLIT: dict[str, Any] = {
    "input_tokens": 100,
    "output_tokens": 50,
    "input_token_details": RealtimeModelMetrics.InputTokenDetails(
        audio_tokens=60,
        text_tokens=40,
        cached_tokens=30,
        image_tokens=0,
        cached_tokens_details=RealtimeModelMetrics.CachedTokenDetails(
            audio_tokens=20, text_tokens=10, image_tokens=0
        ),
    ),
    "output_token_details": RealtimeModelMetrics.OutputTokenDetails(
        text_tokens=10, audio_tokens=40, image_tokens=0
    ),
}
COST = 40 * 32_000 + 20 * 400 + 30 * 4_000 + 10 * 400 + 40 * 64_000 + 10 * 16_000
"""Of `SPLIT` in nano-dollars: speech, cached speech, text and cached text in; speech, text out."""


async def test_a_reply_is_booked_by_the_metrics_that_livekit_tells(lane: Lane) -> None:
    """Text, speech and what was cached, each at its price."""
    with lane.instrumented(budgets=[WIDE]):
        session = OtherModel().session()
        event = await session.generate_reply()
        assert held(lane, WIDE) > 0
        session.tell(event, **SPLIT)
        assert (held(lane, WIDE), spent(lane, WIDE)) == (0, COST)
        (record,) = lane.records
    assert (record.cost, record.usage.estimated) == (COST, False)
    assert record.usage.cached_audio_tokens == 20


async def test_a_refused_reply_does_not_reach_the_plugin(lane: Lane) -> None:
    """Nobody asks it."""
    with lane.instrumented(budgets=[CLOSED]):
        session = OtherModel().session()
        with pytest.raises(RequestCancelledError) as refusal:
            await session.generate_reply()
    assert isinstance(refusal.value, llm.RealtimeError)
    assert session.asked == 0


async def test_what_a_model_is_to_say_word_by_word_is_gated_as_well(lane: Lane) -> None:
    """It generates it, and bills it."""
    with lane.instrumented(budgets=[CLOSED]):
        session = OtherModel(says=True).session()
        with pytest.raises(RequestCancelledError):
            await session.say("Hello.")
    assert session.asked == 0


async def test_what_no_budget_can_bear_any_more_is_still_said_in_the_refusals_own_words(
    lane: Lane,
) -> None:
    """By the model itself, where it can: that is charged, and not refused."""
    with lane.instrumented(budgets=[CLOSED]):
        other = OtherModel(says=True)
        session: AgentSession[None] = AgentSession(llm=other)
        await session.start(Agent(instructions=INSTRUCTIONS))
        handle = session.generate_reply(user_input=QUESTION)
        await until(lambda: other.made[0].asked == 1)
        assert isinstance(handle.exception(), RequestCancelledError)
        await session.aclose()


async def test_a_reply_of_the_servers_own_is_interrupted_where_it_begins(lane: Lane) -> None:
    """Refused when the caller began to speak; what was made of it is booked all the same."""
    errors: list[Any] = []
    with lane.instrumented(budgets=[CLOSED]):
        session = OtherModel(detects_turns=True).session()
        session.on("error", errors.append)
        session.emit("input_speech_started", llm.InputSpeechStartedEvent())
        await until(lambda: lane.records)
        event = session.begin()
        assert session.interrupted == 1
        assert await heard(event) == ""
        session.tell(event, **SPLIT, cancelled=True)
        assert spent(lane, CLOSED) == COST
    (error,) = errors
    assert isinstance(error.error, RequestCancelledError)


async def test_a_reply_of_the_servers_own_that_nobody_heard_coming_is_interrupted_late(
    lane: Lane,
) -> None:
    """A plugin that tells of no speech: it is asked when the reply is there."""
    with lane.instrumented(budgets=[CLOSED]):
        session = OtherModel(detects_turns=True).session()
        event = session.begin()
        await until(lambda: session.interrupted)
        session.tell(event, **SPLIT)
        assert spent(lane, CLOSED) == COST


async def test_metrics_of_a_reply_that_nobody_saw_begin_are_booked(lane: Lane) -> None:
    """Also where they come twice: an adapter emits once more what it hears."""
    told: list[Any] = []
    with lane.instrumented(budgets=[WIDE]):
        session = OtherModel().session()
        session.on("metrics_collected", told.append)
        session.tell(None, **SPLIT)
        session.emit("metrics_collected", told[0])
        assert spent(lane, WIDE) == COST
        assert len(lane.records) == 1


@pytest.mark.parametrize(
    "odd",
    [
        {"input_tokens": None, "output_tokens": None},
        {"input_tokens": -4, "output_tokens": -1},
        {"input_token_details": None, "output_token_details": None, "metadata": None},
        {"input_tokens": "many", "output_tokens": 3},
        {"input_tokens": 0, "output_tokens": 0},
    ],
    ids=["none", "negative", "no details", "text", "zeros"],
)
async def test_odd_metrics_end_a_reply_by_an_estimate(lane: Lane, odd: dict[str, Any]) -> None:
    """Nothing raises, nothing stays held, and nothing is less than nothing."""
    with lane.instrumented(budgets=[WIDE]):
        session = OtherModel().session()
        event = await session.generate_reply()
        session.tell(event, **{"input_tokens": 10, "output_tokens": 5} | odd)
        assert held(lane, WIDE) == 0
        (record,) = lane.records
    assert record.cost >= 0
    assert record.decision.action == "allow"


async def test_metrics_of_a_connection_are_no_reply(lane: Lane) -> None:
    """LiveKit tells how long connecting took, with no request's name and zeros."""
    with lane.instrumented(budgets=[WIDE]):
        OtherModel().session()._report_connection_acquired(0.1)
        assert not lane.records


async def test_the_time_that_a_session_is_open_is_booked_where_it_is_billed(lane: Lane) -> None:
    """By the second, beside the replies."""
    with lane.instrumented(budgets=[WIDE]):
        session = OtherModel(name="gpt-realtime-translate").session()
        told = metrics("", session.realtime_model, session_duration=60.0)
        session.emit("metrics_collected", told)
        (record,) = lane.records
        assert spent(lane, WIDE) == record.cost > 0
    assert record.usage.session_ms == 60_000


async def test_a_transcript_is_booked_at_its_own_models_price(lane: Lane) -> None:
    """By tokens, or by the length of what was heard."""
    tokens = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15, "input_audio_tokens": 10}
    with lane.instrumented(budgets=[WIDE]):
        session = OtherModel().session()
        session.wrote("gpt-4o-mini-transcribe", **tokens)
        session.wrote("whisper-1", audio_duration=2.0)
        records = lane.records
    assert [record.model for record in records] == ["gpt-4o-mini-transcribe", "whisper-1"]
    assert [record.cost for record in records] == [10 * 3_000 + 5 * 5_000, 2_000 * 100]
    assert not any(record.usage.estimated for record in records)


async def test_a_reply_that_the_plugin_gives_up_is_settled(lane: Lane) -> None:
    """It may have been billed: an estimate, and LiveKit's own error for the program."""
    with lane.instrumented(budgets=[WIDE]):
        session = OtherModel().session()
        session.fails = llm.RealtimeError("generate_reply timed out.")
        with pytest.raises(llm.RealtimeError, match="timed out"):
            await session.generate_reply()
        await until(lambda: lane.records)
        assert held(lane, WIDE) == 0
        (record,) = lane.records
    assert record.usage.estimated


async def test_an_adapter_of_somebodys_own_is_charged_once(lane: Lane) -> None:
    """What it asks the session below for is asked once, and its metrics count once."""
    with lane.instrumented(budgets=[WIDE]):
        other = OtherModel()
        inner = other.session()
        outer = Relay(other, inner)
        event = await outer.generate_reply()
        inner.tell(event, **SPLIT)
        await outer.aclose()
        await inner.aclose()
        assert (held(lane, WIDE), spent(lane, WIDE)) == (0, COST)
        assert len(lane.records) == 1


async def test_livekits_fallback_adapter_is_charged_once_and_refused_once(lane: Lane) -> None:
    """It emits what the session below tells."""
    with lane.instrumented(budgets=[WIDE]):
        async with model(lane) as first, model(lane) as second:
            adapter = llm.RealtimeModelFallbackAdapter([first, second])
            async with agent(lane, on=adapter) as session:
                await session.run(user_input=QUESTION)
                await until(lambda: lane.records)
                await adapter.restart_session(switch_model=True)
                await session.run(user_input=QUESTION)
                await until(lambda: len(lane.records) == 2)
            assert spent(lane, WIDE) == lane.provider.bill.total_nano_usd
    assert len(lane.provider.bill.items) == 2
    shown = [s for s in lane.spans() if "aden.cost.usd" in (s.attributes or {})]
    assert [span.name for span in shown] == ["realtime_inference"] * 2


async def test_a_refused_reply_of_the_fallback_adapter_is_one_refusal(lane: Lane) -> None:
    """A refusal is no fault of a provider: it is not asked of the next one."""
    errors: list[Any] = []
    with lane.instrumented(budgets=[CLOSED]):
        async with model(lane) as first, model(lane) as second:
            adapter = llm.RealtimeModelFallbackAdapter([first, second])
            session = adapter.session()
            session.on("error", errors.append)
            await ask(session)
            with pytest.raises(RequestCancelledError):
                await session.generate_reply()
            await asyncio.sleep(0.05)
            await session.aclose()
    assert len(lane.records) == len(errors) == 1
    assert not lane.provider.bill.items


async def test_a_reply_that_comes_all_at_once_is_shown_on_livekits_span_too(lane: Lane) -> None:
    """Its metrics are there before LiveKit has begun a span for it."""
    with lane.instrumented(budgets=[WIDE]):
        other = OtherModel(detects_turns=True)
        session: AgentSession[None] = AgentSession(llm=other)
        await session.start(Agent(instructions=INSTRUCTIONS))
        (inner,) = other.made
        inner.tell(inner.begin(), **SPLIT)
        await until(lambda: lane.spans("realtime_inference"))
        await session.aclose()
    (span,) = lane.spans("realtime_inference")
    (turn,) = lane.spans("agent_turn")
    said = span.attributes or {}
    assert said["aden.cost.usd"] == COST / 1e9
    assert said["aden.livekit.speech.id"] == (turn.attributes or {})["lk.speech_id"]
    assert not lane.spans("generate_content gpt-realtime")


async def test_a_reply_that_the_agent_skips_is_shown_on_a_span_of_its_own(lane: Lane) -> None:
    """LiveKit drops it while it is closing."""
    with lane.instrumented(budgets=[WIDE]):
        other = OtherModel(detects_turns=True)
        session: AgentSession[Any] = AgentSession(llm=other)
        await session.start(Agent(instructions=INSTRUCTIONS))
        (inner,) = other.made
        activity: Any = session._activity
        activity._scheduling_paused = True
        inner.tell(inner.begin(), **SPLIT)
        await until(lambda: lane.spans("generate_content gpt-realtime"))
        inner.tell(inner.begin(), **SPLIT)
        activity._scheduling_paused = False
        await session.aclose()
        assert len(lane.spans("generate_content gpt-realtime")) == 2  # it waits no longer
    for span in lane.spans("generate_content gpt-realtime"):
        assert (span.attributes or {})["aden.cost.usd"] == COST / 1e9


async def test_after_a_refusal_the_next_reply_is_asked_for_anew(lane: Lane) -> None:
    """Also where the caller was not heard in between."""
    shut = [True]

    def hook(*_: object) -> BeforeRequestResult:
        return BeforeRequestResult.cancel("no") if shut else BeforeRequestResult.proceed()

    with lane.instrumented(budgets=[WIDE], before_request=hook):
        session = OtherModel(detects_turns=True).session()
        session.begin()
        await until(lambda: session.interrupted)
        shut.clear()
        event = session.begin()
        await until(lambda: held(lane, WIDE))
        session.tell(event, **SPLIT)
        assert session.interrupted == 1
        await session.aclose()


async def test_what_a_refusal_says_is_not_taken_for_a_reply_of_the_servers_own(lane: Lane) -> None:
    """It would be refused in its turn, and say so."""
    errors: list[Any] = []
    with lane.instrumented(budgets=[CLOSED]):
        other = OtherModel(detects_turns=True, says=True)
        session: AgentSession[None] = AgentSession(llm=other)
        await session.start(Agent(instructions=INSTRUCTIONS))
        session.on("error", errors.append)
        (inner,) = other.made
        inner.emit("input_speech_started", llm.InputSpeechStartedEvent())
        await until(lambda: lane.records)
        inner.begin()
        await until(lambda: inner.asked == 1)
        await asyncio.sleep(0.2)
        assert (inner.asked, len(errors)) == (1, 1)
        await session.aclose()
