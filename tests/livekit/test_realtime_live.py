"""GPT-Live under LiveKit: one session is one call, asked for before it starts, billed by time."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from lane_kit import INSTRUCTIONS, Lane, held, spent, until
from livekit.agents import Agent, AgentSession, llm
from livekit.plugins import openai
from realtime_kit import WIDE, speak

from aden import Budget, RequestCancelledError


@asynccontextmanager
async def live(lane: Lane) -> AsyncIterator[Any]:
    """A session of the plugin's, under LiveKit's adapter."""
    async with aiohttp.ClientSession() as http:
        model = openai.realtime.GPTLiveModel(
            model="gpt-live-1",
            base_url=lane.provider.websocket_base_url,
            api_key="sk-test",
            http_session=http,
        )
        session = llm.DuplexRealtimeAdapter(model).session()
        try:
            yield session
        finally:
            await session.aclose()


async def test_a_live_session_is_one_call_held_from_its_start_and_booked_by_its_time(
    lane: Lane,
) -> None:
    """What LiveKit tells of its time besides is not counted again."""
    told: list[Any] = []
    with lane.instrumented(budgets=[WIDE]):
        async with live(lane) as session:
            session.on("metrics_collected", told.append)
            await session._update_session(instructions="Be short.")
            assert held(lane, WIDE) > 0
            speak(session)
            await until(lambda: [each for each in told if each.session_duration])
        (record,) = lane.records
        (item,) = lane.provider.bill.items
        assert (held(lane, WIDE), spent(lane, WIDE)) == (0, record.cost)
    assert record.usage.session_ms == item.units > 0
    assert record.model == "gpt-live-1"
    (span,) = [each for each in lane.spans() if "aden.cost.usd" in (each.attributes or {})]
    assert (span.attributes or {})["aden.usage.session_seconds"] == item.units / 1000


async def test_a_live_session_that_no_budget_bears_does_not_start(lane: Lane) -> None:
    """Nothing goes over the wire."""
    with lane.instrumented(budgets=[Budget("calls", "0")]):
        async with live(lane) as session:
            with pytest.raises(RequestCancelledError) as refusal:
                await session._update_session(instructions="Be short.")
            assert isinstance(refusal.value, llm.RealtimeError)
        (record,) = lane.records
    assert (record.decision.action, record.attempts) == ("block", 0)
    assert not lane.provider.bill.items


async def test_a_live_session_that_is_closed_before_it_starts_costs_nothing(lane: Lane) -> None:
    """It was configured, and its connection never came."""
    with lane.instrumented(budgets=[WIDE]):
        async with live(lane):
            pass
        assert (held(lane, WIDE), spent(lane, WIDE)) == (0, 0)


async def test_an_agent_whose_live_session_is_refused_does_not_start(lane: Lane) -> None:
    """The program hears of it where it starts the session."""
    with lane.instrumented(budgets=[Budget("calls", "0")]):
        async with aiohttp.ClientSession() as http:
            model = openai.realtime.GPTLiveModel(
                model="gpt-live-1",
                base_url=lane.provider.websocket_base_url,
                api_key="sk-test",
                http_session=http,
            )
            session: AgentSession[None] = AgentSession(llm=llm.DuplexRealtimeAdapter(model))
            with pytest.raises(RequestCancelledError):
                await session.start(Agent(instructions=INSTRUCTIONS))
            await session.aclose()
    assert not lane.provider.bill.items
