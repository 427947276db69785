"""Realtime replies in LiveKit's jobs: whose they are, under any ledger, at any length."""

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lane_kit import Lane, held, spent, until
from livekit.agents.testing import fake_job_context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from realtime_kit import QUESTION, WIDE, agent, ask, heard, rt_session, speak, talking
from test_realtime_turns import DETECTS

import aden
from aden import AdenInstrumentor, Budget, RequestCancelledError


async def test_a_reply_names_job_room_agent_and_speech(lane: Lane) -> None:
    """On the span that carries its cost, and in its record."""
    with lane.instrumented(), fake_job_context(job_id="AJ_1") as job:
        async with agent(lane) as session:
            await session.run(user_input=QUESTION)
            await until(lambda: lane.records)
    (record,) = lane.records
    (span,) = lane.spans("realtime_inference")
    (turn,) = lane.spans("agent_turn")
    said, theirs = span.attributes or {}, turn.attributes or {}
    assert said["gen_ai.conversation.id"] == said["aden.livekit.room.id"] == job.job.room.sid
    assert said["aden.livekit.job.id"] == record.attribution.session_id == "AJ_1"
    assert said["aden.livekit.speech.id"] == theirs["lk.speech_id"] == record.place.speech_id
    assert said["gen_ai.agent.name"] == "default_agent"
    assert said["gen_ai.provider.name"] == record.provider == "openai"  # LiveKit: host and port
    assert (said["aden.cost.usd"], said["gen_ai.usage.output_tokens"]) == (
        record.cost / 1e9,
        record.usage.output_tokens,
    )


async def test_what_the_server_begins_by_itself_names_job_room_agent_and_speech(lane: Lane) -> None:
    """It was begun in no turn of the agent's, and becomes one."""
    with lane.instrumented(), fake_job_context(job_id="AJ_2"):
        async with agent(lane, **DETECTS) as session:
            speak(rt_session(session))
            await until(lambda: lane.records)
    (record,) = lane.records
    (span,) = lane.spans("realtime_inference")
    (turn,) = lane.spans("agent_turn")
    said, theirs = span.attributes or {}, turn.attributes or {}
    assert said["aden.livekit.job.id"] == record.attribution.session_id == "AJ_2"
    assert said["aden.livekit.speech.id"] == theirs["lk.speech_id"]
    assert said["gen_ai.agent.name"] == "default_agent"


async def test_an_interrupted_reply_is_shown_on_one_span_below_livekits_own(lane: Lane) -> None:
    """LiveKit ends its own with the turn, before the provider has told what it comes to."""
    lane.provider.interval_s = 0.02
    with lane.instrumented(budgets=[WIDE]):
        async with agent(lane) as session:
            handle = session.generate_reply(user_input="Tell it in detail.")
            await until(lambda: rt_session(session)._current_generation)
            await until(lambda: session._activity._realtime_spans)
            handle.interrupt(force=True)
            await until(lambda: lane.records)
            assert spent(lane, WIDE) == lane.provider.bill.total_nano_usd > 0
    shown = [each for each in lane.spans() if "aden.cost.usd" in (each.attributes or {})]
    counted = [each for each in lane.spans() if "gen_ai.usage.input_tokens" in each.attributes]  # type: ignore[operator]  # each has some
    (span,) = shown
    assert counted == shown
    (record,) = lane.records
    assert record.span_id == f"{span.context.span_id:016x}"
    (theirs,) = lane.spans("realtime_inference")
    assert span is theirs or (span.parent and span.parent.span_id == theirs.context.span_id)


async def test_no_sampler_lets_a_reply_past_its_budget(lane: Lane) -> None:
    """Nor a span that nobody records."""
    instrumentor, tracer = AdenInstrumentor(), TracerProvider(sampler=ALWAYS_OFF)
    budget = Budget("calls", "0")
    instrumentor.instrument(tracer_provider=tracer, budgets=[budget], ledger="memory:")
    try:
        async with agent(lane) as session:
            with pytest.raises(RequestCancelledError):
                await session.run(user_input=QUESTION)
    finally:
        instrumentor.uninstrument()
    assert not lane.provider.bill.items


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
async def test_replies_are_gated_and_booked_by_every_ledger(
    lane: Lane, kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Across a network the gate awaits; on the same machine a file is asked."""
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    if kind == "redis":
        url = request.getfixturevalue("redis_url")
    budget = Budget("calls", "0.02")
    with lane.instrumented(budgets=[budget], ledger=url):
        async with talking(lane, **DETECTS) as session:
            session.update_options(max_response_output_tokens=200)
            await ask(session, "Tell it in detail.")
            await heard(await session.generate_reply())
            await until(lambda: len(lane.records) == 1)
            aden.flush(5)
            assert spent(lane, budget) == lane.provider.bill.total_nano_usd
            with pytest.raises(RequestCancelledError):
                await session.generate_reply()
            speak(session)
            await until(lambda: len(lane.records) == 4)
            aden.flush(5)
            assert spent(lane, budget) == lane.provider.bill.total_nano_usd
            assert held(lane, budget) == 0
    assert [record.decision.action for record in lane.records].count("block") == 2


@pytest.fixture
def redis_url(tmp_path: Path) -> Iterator[str]:
    """A Redis server of this test's own."""
    import shutil

    binary = shutil.which("redis-server")
    if binary is None:
        pytest.skip("no redis-server on the PATH")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [binary, "--port", str(port), "--save", "", "--dir", str(tmp_path)],
        stdout=subprocess.DEVNULL,
    )
    try:
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.terminate()
        server.wait()


async def test_a_reply_is_capped_where_a_budget_is_never_exceeded(lane: Lane) -> None:
    """The cap is written into the event that goes over the wire."""
    sent: list[Any] = []
    with lane.instrumented(budgets=[Budget("calls", "1.3", overrun="never")]):
        async with talking(lane) as session:
            session.on("openai_client_event_queued", sent.append)
            await ask(session)
            assert await heard(await session.generate_reply())
            await until(lambda: lane.records)
    (asked,) = [event for event in sent if event["type"] == "response.create"]
    assert asked["response"]["max_output_tokens"] == 4096
    assert asked["response"]["metadata"]["client_event_id"] == asked["event_id"]
