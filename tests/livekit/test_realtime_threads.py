"""Realtime sessions of many jobs in one process, each in a thread of its own."""

import asyncio
import gc
import threading
import weakref
from typing import Any

from lane_kit import INSTRUCTIONS, Lane, until
from livekit.agents import Agent, AgentSession
from realtime_fake import OtherModel, metrics
from realtime_kit import WIDE
from test_realtime_providers import SPLIT


async def test_metrics_that_were_booked_are_not_kept(lane: Lane) -> None:
    """Nor looked up among those of other sessions: they say themselves that they were told."""
    with lane.instrumented(budgets=[WIDE]):
        session = OtherModel().session()
        event = await session.generate_reply()
        told = metrics(str(event.response_id), session.realtime_model, **SPLIT)
        session.emit("metrics_collected", told)
        session.emit("metrics_collected", told)
        assert len(lane.records) == 1
        assert "aden" not in f"{told!r} {told.model_dump()}"
        gone = weakref.ref(told)
        session.tell(await session.generate_reply(), **SPLIT)
        await session.aclose()
    del told, session
    await until(lambda: gc.collect() >= 0 and gone() is None)


async def test_metrics_that_another_job_tells_meanwhile_change_nothing_on_a_reply_s_span(
    lane: Lane,
) -> None:
    """LiveKit's span has ended: what it writes late stands on the one that we make then."""

    async def other_job() -> None:
        session = OtherModel().session()
        event = await session.generate_reply()
        session.tell(event, **SPLIT)
        await session.aclose()

    def meanwhile(_metrics: Any) -> None:
        job = threading.Thread(target=asyncio.run, args=(other_job(),))
        job.start()
        job.join(20)

    class Model(OtherModel):
        def session(self, *, turn_detection_disabled: bool = False) -> Any:
            made = super().session()
            made.on("metrics_collected", meanwhile)  # before the agent hears it
            return made

    with lane.instrumented(budgets=[WIDE]):
        model = Model(detects_turns=True)
        session: AgentSession[None] = AgentSession(llm=model)
        await session.start(Agent(instructions=INSTRUCTIONS))
        (inner,) = model.made
        event = inner.begin()
        await until(lambda: lane.spans("realtime_inference"))
        inner.tell(event, **SPLIT)
        await session.aclose()
        assert len(lane.records) == 2
    assert not lane.spans("realtime_metrics")
