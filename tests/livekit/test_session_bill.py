"""One call's budget and its bill, in LiveKit sessions."""

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import pytest
from jobs import in_a_job
from lane_kit import INSTRUCTIONS, Lane, until
from livekit import rtc
from livekit.agents import Agent, AgentSession, JobContext, llm
from livekit.agents.ipc.mock_room import create_mock_room
from livekit.agents.testing import fake_job_context
from livekit.agents.voice.room_io import RoomOptions
from livekit.plugins import openai
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from realtime_kit import ask, heard, talking

import aden.livekit
from aden import ANY, Budget, RequestCancelledError
from aden.cli import main
from aden.core.money import NANO
from aden.core.window import Window
from aden.testing import ControlServer, OpenAIServer
from aden.testing.script import Status

QUESTION = "When is breakfast?"


async def talk(lane: Lane, *questions: str, agent: Agent | None = None) -> None:
    """A session of a text turn for each question."""
    session: AgentSession[None] = AgentSession(llm=lane.llm())
    await session.start(agent or Agent(instructions=INSTRUCTIONS))
    try:
        for question in questions:
            await session.run(user_input=question)
    finally:
        await session.aclose()


async def speak_and_hear(provider: OpenAIServer) -> None:
    """What the openai plugins make of a sentence and of a second of sound."""
    client: Any = {"base_url": provider.base_url, "api_key": "sk-test"}
    tts = openai.TTS(model="tts-1", response_format="pcm", **client)
    async with tts.synthesize("Breakfast is at seven.") as stream:
        async for _ in stream:
            pass
    await tts.aclose()
    stt = openai.STT(model="whisper-1", use_realtime=False, **client)
    await stt.recognize(rtc.AudioFrame(bytes(48_000), 24_000, 1, 24_000))


async def test_the_bill_is_the_provider_s_and_what_aden_spend_shows(
    lane: Lane, provider: OpenAIServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """To the nano-dollar: LLM, TTS and STT, by component, by model, by turn; nothing is held."""
    url = f"sqlite://{tmp_path / 'ledger.db'}"
    with lane.instrumented(ledger=url, budgets=[Budget("all", "10")]):
        with fake_job_context(job_id="AJ_1") as context:
            budget = aden.livekit.session_budget(context, "0.50")
            await talk(lane, QUESTION, "How far is the beach?")
            await speak_and_hear(provider)
        with fake_job_context(job_id="AJ_2"):
            await talk(lane, QUESTION)
        bill = budget.bill
        records = [each for each in lane.records if each.place.job_id == "AJ_1"]
        (balance,) = lane.ledger.balances([("session|session=AJ_1", Window("session"))])
    *ours, other = provider.bill.items
    by_model = {"openai/gpt-4o": ours[:2], "openai/tts-1": [ours[2]], "openai/whisper-1": [ours[3]]}
    assert bill.cost == sum(item.nano_usd or 0 for item in ours) == balance.spent
    assert bill.total.calls == 4
    assert {name: sums.cost for name, sums in bill.models.items()} == {
        name: sum(item.nano_usd or 0 for item in items) for name, items in by_model.items()
    }
    assert list(bill.components) == ["llm", "tts", "stt"]
    assert sum(sums.cost for sums in bill.components.values()) == bill.cost
    assert {name: sums.cost for name, sums in bill.turns.items()} == {
        record.place.speech_id: record.cost for record in records[:2]
    }
    assert balance.held == 0
    assert budget.reserved == 0
    assert main(["spend", "--by", "session", "--json", "--ledger", url]) == 0
    shown = {
        group["session"]: group["cost_nano_usd"]
        for group in json.loads(capsys.readouterr().out)["groups"]
    }
    assert shown == {"AJ_1": bill.cost, "AJ_2": other.nano_usd}


async def test_an_exhausted_budget_refuses_the_turns_of_its_job_alone(
    lane: Lane, provider: OpenAIServer
) -> None:
    """Beside a policy with room to spare, in threads of one process."""
    limits = iter((0, 10, 20))
    budgets: dict[int, aden.livekit.SessionBudget] = {}

    async def call(context: JobContext) -> None:
        limit = next(limits)
        budgets[limit] = aden.livekit.session_budget(context, limit)
        if limit:
            await talk(lane, QUESTION)
        else:
            with pytest.raises(RequestCancelledError, match="budget 'session' is exhausted"):
                await talk(lane, QUESTION)

    with lane.instrumented(budgets=[Budget("all", "10")]):
        await in_a_job(call, jobs=3)
    poor, *rich = (budget for _, budget in sorted(budgets.items()))
    assert (poor.bill.total.calls, poor.bill.total.refused, poor.spent) == (1, 1, 0)
    assert poor.exhausted
    assert [budget.bill.total.refused for budget in rich] == [0, 0]
    assert sum(budget.bill.cost for budget in rich) == provider.bill.total_nano_usd
    assert [budget.limit for budget in rich] == [10, 20]


async def test_every_job_s_bill_is_told_once_without_being_asked_for(
    lane: Lane, provider: OpenAIServer, caplog: pytest.LogCaptureFixture
) -> None:
    """A span under the job's own, an event, a line; none that adds up costs sees it twice."""
    events = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]
    logs = LoggerProvider()
    logs.add_log_record_processor(SimpleLogRecordProcessor(events))
    bills = []

    async def call(context: JobContext) -> None:
        await talk(lane, QUESTION)
        context.add_shutdown_callback(lambda: talk(lane, "Sum it up, please."))
        bills.append(lambda: aden.livekit.session_bill(context))

    caplog.set_level(logging.INFO, "aden")
    with lane.instrumented(logger_provider=logs):
        await in_a_job(call)
        bill = bills[0]()
    (span,) = lane.spans("aden.session")
    (root,) = lane.spans("job_entrypoint")
    (event,) = (
        each.log_record for each in events.get_finished_logs() if each.log_record.event_name
    )
    said = dict(span.attributes or {})
    assert said == dict(event.attributes or {})
    assert event.event_name == "aden.session"
    assert span.parent is not None
    assert root.context is not None
    assert span.parent.span_id == root.context.span_id
    assert event.trace_id == root.context.trace_id
    assert said["aden.session.cost.usd"] == provider.bill.total_nano_usd / NANO
    assert said["aden.session.cost.llm.usd"] == said["aden.session.cost.usd"]
    assert (said["aden.session.calls"], said["aden.session.refused"]) == (2, 0)
    assert said["aden.session.models"] == ("openai/gpt-4o",)
    assert said["aden.session.duration"] == bill.duration_s > 0
    assert said["aden.livekit.job.id"] == bill.place.job_id
    assert not [name for name in said if name.startswith(("gen_ai.usage", "aden.cost"))]
    lines = [each.getMessage() for each in caplog.records if "aden: session" in each.getMessage()]
    assert lines == [f"aden: session {bill.place.job_id}: {bill.line()}"]


async def test_a_job_that_asked_nothing_has_no_bill_to_tell(lane: Lane) -> None:
    """Its trace stays as it was."""

    async def call(_: JobContext) -> None:
        session: AgentSession[None] = AgentSession(llm=lane.llm())
        await session.start(Agent(instructions=INSTRUCTIONS))
        await session.aclose()

    with lane.instrumented():
        await in_a_job(call)
    assert not lane.spans("aden.session")
    assert lane.spans("agent_session")


async def test_two_sessions_of_one_job_are_on_one_bill(lane: Lane, provider: OpenAIServer) -> None:
    """Under one budget, whichever of them it was made with."""
    with lane.instrumented(), fake_job_context(job_id="AJ_1") as context:
        one: AgentSession[None] = AgentSession(llm=lane.llm())
        budget = aden.livekit.session_budget(one, "0.50")
        assert aden.livekit.session_budget(context, "0.50") is budget
        await asyncio.gather(talk(lane, QUESTION), talk(lane, QUESTION))
    assert budget.bill.cost == provider.bill.total_nano_usd
    assert len(budget.bill.turns) == budget.bill.total.calls == 2


async def test_an_interrupted_turn_is_on_the_bill_as_estimated(
    lane: Lane, provider: OpenAIServer
) -> None:
    """What no provider reported has its share."""
    with lane.instrumented(), fake_job_context(job_id="AJ_1") as context:
        budget = aden.livekit.session_budget(context, "0.50")
        session: AgentSession[None] = AgentSession(llm=lane.llm())
        await session.start(Agent(instructions=INSTRUCTIONS))
        speech = session.generate_reply(user_input="Answer in 5000 tokens, please.")
        async with asyncio.timeout(30):
            while not lane.asked:
                await asyncio.sleep(0.01)
        assert budget.reserved > 0
        await session.interrupt()
        await speech
        await session.aclose()
    assert (budget.bill.open_calls, budget.reserved) == (0, 0)
    assert budget.bill.total.estimated == budget.bill.cost > 0
    assert budget.bill.estimated_share == 1.0
    assert "100.0 % estimated" in budget.bill.line()


async def test_a_budget_of_a_file_is_edited_while_a_session_has_its_own(
    lane: Lane, provider: OpenAIServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both hold, before and after; one with the same id gives way to the session's own."""
    file = tmp_path / "budgets.toml"
    file.write_text('[[budget]]\nid = "session"\nlimit_usd = 0\nwindow = "session"\n')
    monkeypatch.setenv("ADEN_BUDGETS", str(file))
    with lane.instrumented(), fake_job_context(job_id="AJ_1") as context:
        with pytest.raises(RequestCancelledError):
            await talk(lane, QUESTION)
        budget = aden.livekit.session_budget(context, "0.50")
        await talk(lane, QUESTION)
        budget.close()
        budget.close()
        with pytest.raises(RequestCancelledError):
            await talk(lane, QUESTION)
        aden.livekit.session_budget(context, "0.50")
        await talk(lane, QUESTION)
    assert lane.asked == 2
    del provider


async def test_a_policy_has_budgets_of_rooms_and_participants(
    lane: Lane, provider: OpenAIServer
) -> None:
    """Templates as of any other label; a participant is told apart by a digest."""
    room = create_mock_room()
    quiet = RoomOptions(text_input=False, audio_input=False, text_output=False, audio_output=False)
    policy = [
        Budget("rooms", "1", scope={"room": ANY}),
        Budget("callers", "1", scope={"participant": ANY}, window="day"),
    ]
    with lane.instrumented(budgets=policy), fake_job_context(room=room) as context:
        session: AgentSession[None] = AgentSession(llm=lane.llm())
        await session.start(Agent(instructions=INSTRUCTIONS), room=room, room_options=quiet)
        await session.run(user_input=QUESTION)
        own = aden.livekit.session_budget(session, "1", by="participant", window="day", id="own")
        await session.aclose()
        keys = [f"rooms|room={context.job.room.sid}", f"callers|{own.scope}"]
        balances = lane.ledger.balances([(keys[0], Window()), (keys[1], Window("day"))])
    assert [each.spent for each in balances] == [provider.bill.total_nano_usd] * 2
    assert own.scope.startswith("participant=")
    assert "mock_user" not in own.scope


async def test_a_session_s_own_budget_has_its_own_words_for_the_caller(lane: Lane) -> None:
    """`on_refusal` and `refusal_message` are the budget's, as of one in a policy."""
    with lane.instrumented(), fake_job_context(job_id="AJ_1") as context:
        aden.livekit.session_budget(context, 0, refusal_message="Your free call is over.")
        async with lane.session() as session:
            with pytest.raises(RequestCancelledError):
                await session.run(user_input=QUESTION)
            said = [item.text_content for item in session.history.items if item.type == "message"]
    assert said[-1] == "Your free call is over."


async def test_a_realtime_reply_is_a_component_of_its_own(
    lane: Lane, provider: OpenAIServer
) -> None:
    """Under the same budget as all else."""
    with lane.instrumented(), fake_job_context(job_id="AJ_1") as context:
        budget = aden.livekit.session_budget(context, "5")
        async with talking(lane) as session:
            await ask(session)
            await heard(await session.generate_reply())
            await until(lambda: budget.bill.total.calls)
        await talk(lane, QUESTION)
    costs = {name: sums.cost for name, sums in budget.bill.components.items()}
    spoken, answered = (item.nano_usd for item in provider.bill.items)
    assert costs == {"realtime": spoken, "llm": answered}
    assert budget.spent == sum(costs.values()) / NANO
    assert (budget.reserved, budget.bill.open_calls) == (0, 0)


async def test_behind_an_adapter_each_request_is_on_the_bill_once(
    lane: Lane, provider: OpenAIServer
) -> None:
    """The adapter's stream asks the session's budget; what it holds for a moment is let go."""
    policy = [Budget("gpt-4o's", "10", scope={"model": "gpt-4o"})]
    with lane.instrumented(budgets=policy), fake_job_context(job_id="AJ_1") as context:
        budget = aden.livekit.session_budget(context, "5")
        provider.script(Status(500))
        adapter = llm.FallbackAdapter(
            [lane.llm(max_retries=0), lane.llm("gpt-4o-mini")], max_retry_per_llm=0
        )
        async with lane.session(llm=adapter) as session:
            await session.run(user_input=QUESTION)
            await until(lambda: budget.bill.total.calls == 3)  # with the recovery's probe
        budget.close()
        aden.livekit.session_budget(context, 0)
        async with lane.session(llm=adapter) as session:
            with pytest.raises(RequestCancelledError):
                await session.run(user_input=QUESTION)
    bill = aden.livekit.session_bill(context)
    assert bill.cost == provider.bill.total_nano_usd == round(budget.spent * NANO)
    assert (budget.reserved, bill.open_calls) == (0, 0)
    assert bill.total.refused == 1


async def test_a_session_s_own_budget_holds_beside_those_of_a_server(
    lane: Lane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever is used up first refuses."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    everything = {"id": "b1", "name": "everything", "type": "global", "limit": 100}
    with ControlServer({"budgets": [everything]}) as control:
        server = {"server_url": control.url, "api_key": control.key}
        with lane.instrumented(**server), fake_job_context(job_id="AJ_1") as context:
            budget = aden.livekit.session_budget(context, "0.50")
            await talk(lane, QUESTION)
            budget.close()
            aden.livekit.session_budget(context, 0)
            with pytest.raises(RequestCancelledError, match="budget 'session' is exhausted"):
                await talk(lane, QUESTION)
            months = lane.ledger.balances([("b1", Window("month"))])
    assert [each.spent for each in months] == [budget.bill.cost]
    assert budget.bill.cost > 0
