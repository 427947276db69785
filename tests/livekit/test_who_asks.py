"""Each request of a LiveKit job says whose it is and where it was made: on spans and in records."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from caller import Microphone, Speaker
from jobs import in_a_job
from lane_kit import INSTRUCTIONS, Lane
from livekit.agents import Agent, AgentSession, JobContext, JobExecutorType, JobProcess
from livekit.agents.ipc.mock_room import create_mock_room
from livekit.agents.testing import fake_job_context
from livekit.agents.voice.room_io import RoomOptions
from openai import AsyncOpenAI, OpenAI
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from speech_provider import Ear, SpeechProvider, Voice

from aden import ANY, Budget, RequestCancelledError, attribution, requests
from aden.core.money import NanoUSD
from aden.core.place import NOWHERE, Place
from aden.core.record import CallRecord
from aden.core.usage import Usage
from aden.instrumentation.livekit.job import _Process
from aden.instrumentation.livekit.who import who_asks
from aden.livekit import session_budget
from aden.testing import OpenAIServer

IDS = ("job.id", "room.id", "participant.id", "turn.id", "speech.id")
OURS = tuple(f"aden.livekit.{name}" for name in IDS)


def client(provider: OpenAIServer) -> AsyncOpenAI:
    """The openai SDK, on the local provider."""
    return AsyncOpenAI(base_url=provider.base_url, api_key="sk-test")


async def ask(sdk: AsyncOpenAI) -> None:
    """One request that LiveKit does not know of."""
    messages: Any = [{"role": "user", "content": "When is breakfast?"}]
    await sdk.chat.completions.create(model="gpt-4o", messages=messages)


async def test_a_turn_names_job_room_agent_turn_and_speech(lane: Lane) -> None:
    """By the ids that LiveKit puts on its own spans."""
    with lane.instrumented(), fake_job_context(job_id="AJ_1") as job:
        async with lane.session() as session:
            await session.run(user_input="When is breakfast?")
            await session.run(user_input="How far is the beach?")
    for request, turn in zip(lane.spans("llm_request"), lane.spans("agent_turn"), strict=True):
        said, theirs = request.attributes or {}, turn.attributes or {}
        assert said["gen_ai.conversation.id"] == job.job.room.sid
        assert said["gen_ai.agent.name"] == theirs["gen_ai.agent.name"] == "default_agent"
        assert said["aden.attribution.session_id"] == "AJ_1"
        assert [said.get(name) for name in OURS] == [
            "AJ_1",
            job.job.room.sid,
            None,
            theirs["lk.generation_id"],
            theirs["lk.speech_id"],
        ]
    first, second = lane.records
    assert first.place.job_id == second.place.job_id == "AJ_1"
    assert first.place.speech_id != second.place.speech_id


async def test_the_sdk_in_an_agent_s_node_asks_at_the_same_point_as_the_agent(
    lane: Lane, provider: OpenAIServer
) -> None:
    """A request of the author's own is of the turn in which it is made."""
    sdk = client(provider)

    class Host(Agent):
        async def llm_node(self, *args: Any) -> AsyncIterator[Any]:
            await ask(sdk)
            async for chunk in Agent.default.llm_node(self, *args):
                yield chunk

    with lane.instrumented(), fake_job_context(job_id="AJ_1"):
        session: AgentSession[None] = AgentSession(llm=lane.llm())
        await session.start(Host(instructions=INSTRUCTIONS))
        await session.run(user_input="When is breakfast?")
        await session.aclose()
        await ask(sdk)
    inside, answered, outside = (record.place for record in lane.records)
    assert inside == answered
    assert inside.agent == "host"
    assert (outside.job_id, outside.speech_id) == ("AJ_1", None)
    spans = [span.attributes or {} for span in lane.spans("chat gpt-4o")]
    assert [span.get("aden.livekit.speech.id") for span in spans] == [inside.speech_id, None]
    assert {span.get("aden.livekit.job.id") for span in spans} == {"AJ_1"}


async def test_two_sessions_in_one_job_are_told_apart(lane: Lane) -> None:
    """Also in what a session starts for no speech: to listen, to warm up."""
    seen: list[Place] = []

    class Reception(Agent):
        pass

    class Kitchen(Agent):
        pass

    async def talk(agent: type[Agent], speaks: str) -> None:
        session: AgentSession[None] = AgentSession(llm=lane.llm())
        session.on("agent_state_changed", lambda _: seen.append(who_asks().place))
        await session.start(agent(instructions=INSTRUCTIONS))
        with attribution(user_id=speaks):
            await session.run(user_input="When is breakfast?")
        await session.aclose()

    with lane.instrumented(), fake_job_context(job_id="AJ_1"):
        await asyncio.gather(talk(Reception, "ann"), talk(Kitchen, "ben"))
    assert {(record.attribution.user_id, record.place.agent) for record in lane.records} == {
        ("ann", "reception"),
        ("ben", "kitchen"),
    }
    assert {place.agent for place in seen} == {"reception", "kitchen"}
    assert {place.job_id for place in seen} == {"AJ_1"}


async def test_what_is_heard_and_spoken_names_the_same_as_what_is_thought(lane: Lane) -> None:
    """Two voice sessions in one job: each span with a cost is of its own session's agent."""

    class Reception(Agent):
        pass

    class Kitchen(Agent):
        pass

    async def call(speech: SpeechProvider, agent: type[Agent]) -> None:
        session: AgentSession[None] = AgentSession(
            llm=lane.llm(), tts=Voice(speech), stt=Ear(speech)
        )
        session.input.audio, session.output.audio = Microphone(), Speaker()
        with attribution(user_id=agent.__name__.lower()):
            await session.start(agent(instructions=INSTRUCTIONS))
        await session.run(user_input="When is breakfast?")
        while not any(each.heard_ms >= 500 for each in speech.bill):
            await asyncio.sleep(0.01)
        await session.aclose()

    with lane.instrumented(), fake_job_context(job_id="AJ_1"):
        async with SpeechProvider().running() as one, SpeechProvider().running() as two:
            await asyncio.gather(call(one, Reception), call(two, Kitchen))
    records = lane.records
    assert {record.component for record in records} == {"llm", "tts", "stt"}
    for record in records:
        assert (record.place.job_id, record.attribution.session_id) == ("AJ_1", "AJ_1")
        if record.component == "stt":  # all that was started with the session
            assert record.place.agent == record.attribution.user_id
            assert record.place.speech_id is None
    thought = {record.place.speech_id for record in records if record.component == "llm"}
    spoken = {record.place.speech_id for record in records if record.component == "tts"}
    assert spoken == thought
    assert len(thought) == 2
    said = [span.attributes or {} for span in lane.spans()]
    priced = [attributes for attributes in said if "aden.cost.usd" in attributes]
    assert len(priced) == len(records)
    ids = ("gen_ai.conversation.id", "gen_ai.agent.name", "aden.livekit.job.id")
    assert all(attributes.get(name) for attributes in priced for name in ids)


async def test_the_participant_is_named_by_its_connection_and_not_by_its_number(lane: Lane) -> None:
    """An identity may be a telephone number; neither it nor the room's name is on a span."""
    room = create_mock_room()
    quiet = RoomOptions(text_input=False, audio_input=False, text_output=False, audio_output=False)
    with lane.instrumented(), fake_job_context(room=room):
        session: AgentSession[None] = AgentSession(llm=lane.llm())
        await session.start(Agent(instructions=INSTRUCTIONS), room=room, room_options=quiet)
        await session.run(user_input="When is breakfast?")
        await session.aclose()
    (record,) = lane.records
    (request,) = lane.spans("llm_request")
    assert record.place.participant_id == "PA_mock_user"
    assert (request.attributes or {})["aden.livekit.participant.id"] == "PA_mock_user"
    ours = {name: said for name, said in (request.attributes or {}).items() if "lk." not in name}
    assert "mock_user" not in str(ours).replace("PA_mock_user", "")
    assert room.name not in str(ours)


async def test_what_is_asked_after_a_session_is_closed_is_its_caller_s(lane: Lane) -> None:
    """Such as a summary when the job ends, on a budget that the caller has used up."""
    room = create_mock_room()
    quiet = RoomOptions(text_input=False, audio_input=False, text_output=False, audio_output=False)
    one = Budget("callers", limit=requests(1), scope={"participant": ANY}, window="day")
    with lane.instrumented(budgets=[one]), fake_job_context(room=room):
        session: AgentSession[None] = AgentSession(llm=lane.llm())
        await session.start(Agent(instructions=INSTRUCTIONS), room=room, room_options=quiet)
        await session.run(user_input="When is breakfast?")
        await session.aclose()
        with pytest.raises(RequestCancelledError):
            await ask(client(lane.provider))
    asked, refused = lane.records
    assert refused.attribution.participant_id == asked.attribution.participant_id is not None


async def test_outside_of_a_job_a_session_still_says_agent_and_speech(
    lane: Lane, provider: OpenAIServer
) -> None:
    """And a request outside of both says nothing."""
    with lane.instrumented():
        async with lane.session() as session:
            await session.run(user_input="When is breakfast?")
        await ask(client(provider))
    inside, outside = lane.records
    assert inside.place.agent == "default_agent"
    assert inside.place.speech_id is not None
    assert (inside.place.job_id, inside.place.room_id) == (None, None)
    assert inside.attribution.session_id is None
    assert outside.place == NOWHERE


async def test_jobs_in_threads_of_one_process_are_told_apart(lane: Lane) -> None:
    """A worker with the thread executor runs many jobs at once."""
    ids: list[str] = []

    async def turns(ctx: JobContext) -> None:
        ids.append(ctx.job.id)
        async with lane.session() as session:
            await session.run(user_input="When is breakfast?")
            await session.run(user_input="How far is the beach?")

    with lane.instrumented():
        await in_a_job(turns, jobs=3)
    records = lane.records
    assert len(ids) == 3
    assert {record.place.job_id for record in records} == set(ids)
    assert all(record.attribution.session_id == record.place.job_id for record in records)
    assert len({record.place.speech_id for record in records}) == len(records) == 6


async def test_a_thread_that_knows_no_context_asks_for_the_job_of_its_process(
    lane: Lane, provider: OpenAIServer
) -> None:
    """``run_in_executor`` copies none; LiveKit runs one job in a process, but many in threads."""
    sdk = OpenAI(base_url=provider.base_url, api_key="sk-test")

    def ask_plainly() -> None:
        sdk.embeddings.create(model="text-embedding-3-small", input="breakfast")

    loop = asyncio.get_running_loop()
    with lane.instrumented(), fake_job_context(job_id="AJ_thread") as job:
        await loop.run_in_executor(None, ask_plainly)
        with in_a_process_of_its_own(job, "AJ_process") as own:
            budget = session_budget(own, "0.50")
            await loop.run_in_executor(None, ask_plainly)
            spent, told = budget.spent, budget.bill.total.calls
        nobody, ours = lane.records
        assert (nobody.place, nobody.attribution.session_id) == (NOWHERE, None)
        assert (ours.place.job_id, ours.attribution.session_id) == ("AJ_process", "AJ_process")
        assert (round(spent * 1e9), told) == (ours.cost, 1)


@contextmanager
def in_a_process_of_its_own(job: JobContext, job_id: str) -> Iterator[JobContext]:
    """A job context as LiveKit makes one in a job process."""
    info = replace(job._info, job=copy_of(job.job, job_id))
    process = JobProcess(
        executor_type=JobExecutorType.PROCESS, user_arguments=None, http_proxy=None
    )
    try:
        yield JobContext(
            proc=process,
            info=info,
            room=job.room,
            on_connect=lambda: None,
            on_shutdown=lambda _: None,
            inference_executor=job.inference_executor,
        )
    finally:
        _Process.job = None


def copy_of(job: Any, job_id: str) -> Any:
    """The same job by another id."""
    other = type(job)()
    other.CopyFrom(job)
    other.id = job_id
    return other


async def test_no_metric_is_counted_by_an_id(lane: Lane) -> None:
    """As many series as models and reasons, however many jobs there are."""
    reader = InMemoryMetricReader()
    with (
        lane.instrumented(meter_provider=MeterProvider([reader])),
        fake_job_context(job_id="AJ_1") as job,
    ):
        async with lane.session() as session:
            await session.run(user_input="When is breakfast?")
        told = reader.get_metrics_data()
        (record,) = lane.records
    assert told is not None
    text = told.to_json()
    assert "aden.client.cost" in text
    for value in ("AJ_1", job.job.room.sid, record.place.speech_id, "default_agent"):
        assert str(value) not in text


async def test_a_place_that_cannot_be_read_costs_no_request(
    lane: Lane, provider: OpenAIServer
) -> None:
    """LiveKit may move what it keeps for itself."""
    with lane.instrumented(), fake_job_context(job_id="AJ_1") as job:
        del job._info
        await ask(client(provider))
    (record,) = lane.records
    assert record.place == NOWHERE
    assert record.cost == provider.bill.total_nano_usd


def test_a_record_keeps_its_place_in_the_journal() -> None:
    """And a line of an older version has none."""
    place = Place(job_id="AJ_1", speech_id="speech_1")
    record = CallRecord("1", 0.0, "openai", "gpt-4o", "gpt-4o", Usage(), NanoUSD(0), place=place)
    assert CallRecord.from_json(record.to_json()) == record
    assert record.as_dict()["place"] == {"job_id": "AJ_1", "speech_id": "speech_1"}
    nowhere = CallRecord("1", 0.0, "openai", "gpt-4o", "gpt-4o", Usage(), NanoUSD(0))
    assert '"place"' not in nowhere.to_json()
    assert CallRecord.from_json(nowhere.to_json()) == nowhere
