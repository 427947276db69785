"""Realtime replies that never begin, or never end: their holds, and whose the next one is."""

import asyncio
from typing import Any

import pytest
from lane_kit import INSTRUCTIONS, Lane, held, spent, until
from livekit.agents import Agent, AgentSession, llm
from realtime_fake import OtherModel, OtherSession
from realtime_kit import WIDE
from test_realtime_providers import COST, SPLIT

from aden import Budget


class SlowSession(OtherSession):
    """Begins a reply when the test says so."""

    def __init__(self, model: OtherModel) -> None:
        super().__init__(model)
        self.waiting: list[asyncio.Future[llm.GenerationCreatedEvent]] = []

    def generate_reply(self, **_: Any) -> "asyncio.Future[llm.GenerationCreatedEvent]":
        """Asked, and not begun."""
        self.asked += 1
        self.waiting.append(asyncio.Future())
        return self.waiting[-1]

    def answer(self) -> llm.GenerationCreatedEvent:
        """Begin what was asked for last."""
        event = self.begin(user_initiated=True)
        self.waiting[-1].set_result(event)
        return event


class SlowModel(OtherModel):
    """Its sessions are slow."""

    def session(self, *, turn_detection_disabled: bool = False) -> OtherSession:
        """A new one."""
        self.made.append(SlowSession(self))
        return self.made[-1]


async def test_replies_that_are_interrupted_before_they_begin_hold_nothing(lane: Lane) -> None:
    """The caller barges in; each costs an estimate once, as it may be billed."""
    with lane.instrumented(budgets=[WIDE]):
        other = SlowModel()
        session: AgentSession[None] = AgentSession(llm=other)
        await session.start(Agent(instructions=INSTRUCTIONS))
        for count in (1, 2, 3):
            handle = session.generate_reply(instructions="Greet the caller.")
            await until(lambda asked=count: other.made[0].asked == asked)
            handle.interrupt()
            await until(lambda settled=count: len(lane.records) == settled)
            assert held(lane, WIDE) == 0
        assert spent(lane, WIDE) == sum(record.cost for record in lane.records)
        await session.aclose()
        assert len(lane.records) == 3
    assert {record.stream_end for record in lane.records} == {"abandoned"}
    assert all(record.usage.estimated for record in lane.records)


async def test_the_reply_after_an_interrupted_one_is_booked_as_its_own(lane: Lane) -> None:
    """Not on the call of the one that nobody waits for any more."""
    with lane.instrumented(budgets=[WIDE]):
        session = SlowModel().session()
        assert isinstance(session, SlowSession)
        given_up = session.generate_reply(instructions="one")
        await until(lambda: session.asked == 1)
        given_up.cancel()
        await until(lambda: lane.records)
        asked = session.generate_reply(instructions="the second")
        await until(lambda: session.asked == 2)
        event = session.answer()
        await asked
        session.tell(event, **SPLIT)
        assert held(lane, WIDE) == 0
        first, second = lane.records
        await session.aclose()
        assert len(lane.records) == 2
    assert (first.stream_end, first.usage.estimated) == ("abandoned", True)
    assert (second.stream_end, second.usage.estimated, second.cost) == ("complete", False, COST)


async def test_a_reply_whose_metrics_never_come_is_settled_after_the_next_has_begun(
    lane: Lane,
) -> None:
    """By an estimate; the next one is left alone, and metrics that come too late count no more."""
    with lane.instrumented(budgets=[WIDE]):
        session = OtherModel().session()
        mute = await session.generate_reply()
        late = await session.generate_reply()
        session.tell(late, **SPLIT)
        last = await session.generate_reply()
        await until(lambda: len(lane.records) == 2)
        assert held(lane, WIDE) > 0
        session.tell(mute, **SPLIT)
        session.tell(last, **SPLIT)
        assert held(lane, WIDE) == 0
        assert len(lane.records) == 3
        await session.aclose()
    (lost,) = [record for record in lane.records if record.usage.estimated]
    assert lost.stream_end == "abandoned"
    assert sum(record.cost for record in lane.records) == lost.cost + 2 * COST


async def test_a_plugin_whose_name_speaks_of_openai_shows_no_wire_for_that(lane: Lane) -> None:
    """It is metered by its metrics, as others are."""

    class Named(OtherSession):
        __module__ = "acme.openai_realtime"

    with lane.instrumented(budgets=[WIDE]):
        session = Named(OtherModel())
        event = await session.generate_reply()
        session.tell(event, **SPLIT)
        assert (held(lane, WIDE), spent(lane, WIDE)) == (0, COST)
        await session.aclose()


async def test_one_reply_that_cannot_be_foreseen_leaves_the_next_ones_gated(
    lane: Lane, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, and the next time that the caller speaks is asked again."""

    class Unsteady(OtherModel):
        fails = True

        @property
        def provider(self) -> str:
            if self.fails:
                raise ValueError("no name yet")
            return "openai"

    with lane.instrumented(budgets=[Budget("calls", "0")]):
        unsteady = Unsteady(detects_turns=True)
        session = unsteady.session()
        session.emit("input_speech_started", llm.InputSpeechStartedEvent())
        await until(lambda: "could not be decided ahead" in caplog.text)
        unsteady.fails = False
        session.emit("input_speech_started", llm.InputSpeechStartedEvent())
        await until(lambda: lane.records)
        session.begin()
        assert session.interrupted == 1
        await session.aclose()
