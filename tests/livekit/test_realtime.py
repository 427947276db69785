"""Realtime replies that the agent asks for: gated before they are, booked by what is counted."""

import asyncio
import pickle
from collections.abc import Mapping
from functools import partial
from typing import Any

import pytest
from lane_kit import Lane, held, spent, until
from livekit.agents import Agent, function_tool, llm
from realtime_kit import QUESTION, WIDE, agent, ask, heard, rt_session, talking

from aden import BeforeRequestContext, BeforeRequestResult, Budget, RequestCancelledError
from aden.testing import Drop, Status, Usage

CLOSED = Budget("calls", "0")


async def test_a_reply_is_booked_by_its_usage_text_speech_and_cached_apart(lane: Lane) -> None:
    """To the nano-dollar what the provider charges, and nothing stays held."""
    with lane.instrumented(budgets=[WIDE]):
        async with talking(lane) as session:
            for _ in range(3):
                await ask(session)
                await heard(await session.generate_reply())
            await until(lambda: len(lane.records) == 3)
            assert held(lane, WIDE) == 0
            assert spent(lane, WIDE) == lane.provider.bill.total_nano_usd > 0
        *_, last = lane.records
    items = lane.provider.bill.items
    assert [record.cost for record in lane.records] == [item.nano_usd for item in items]
    assert last.usage.cached_audio_tokens == items[-1].cached_audio_tokens > 0
    assert last.usage.audio_output_tokens == items[-1].audio_output_tokens > 0
    assert (last.usage.estimated, last.stream_end, last.attempts) == (False, "complete", 1)


async def test_a_reply_is_held_while_it_is_on_its_way(lane: Lane) -> None:
    """A process that is killed now leaves what its reply may cost."""
    lane.provider.ttft_s = 0.3
    with lane.instrumented(budgets=[WIDE]):
        async with talking(lane) as session:
            await ask(session)
            reply = session.generate_reply()
            await until(lambda: held(lane, WIDE))
            assert held(lane, WIDE) > 1024 * 64_000  # spoken, for as long as any answer is
            assert spent(lane, WIDE) == 0
            await heard(await reply)
            await until(lambda: held(lane, WIDE) == 0)


async def test_a_refused_reply_is_a_realtime_error_of_ours_and_nothing_is_sent(lane: Lane) -> None:
    """The future fails, which is how LiveKit expects it; pickled, it is the same."""
    sent: list[str] = []
    with lane.instrumented(budgets=[CLOSED]):
        async with talking(lane) as session:
            await ask(session)
            session.on("openai_client_event_queued", lambda event: sent.append(event["type"]))
            with pytest.raises(RequestCancelledError) as refusal:
                await session.generate_reply()
            await asyncio.sleep(0.05)
    assert isinstance(refusal.value, llm.RealtimeError)
    assert (refusal.value.reason, refusal.value.budget_id) == ("exhausted", "calls")
    again = pickle.loads(pickle.dumps(refusal.value))  # noqa: S301 - made a line above
    assert (type(again), again.details) == (type(refusal.value), refusal.value.details)
    assert "response.create" not in sent
    assert not lane.provider.bill.items
    (record,) = lane.records
    assert (record.decision.action, record.attempts, record.cost) == ("block", 0, 0)


async def test_an_agents_refused_turn_is_told_spoken_and_leaves_the_session_alive(
    lane: Lane,
) -> None:
    """Four refused turns in a row, and then one that is answered."""
    asked: list[Mapping[str, Any]] = []

    def doorman(params: Mapping[str, Any], _: BeforeRequestContext) -> BeforeRequestResult:
        asked.append(params)
        shut = len(asked) <= 4
        return BeforeRequestResult.cancel("not now") if shut else BeforeRequestResult.proceed()

    errors: list[Any] = []
    said: list[str] = []
    with lane.instrumented(before_request=doorman):
        async with agent(lane) as session:
            session.on("error", errors.append)
            session.on("conversation_item_added", lambda event: said.append(event.item.role))
            for turn in range(1, 5):
                await _refused(session)
                await until(partial(_has, said, turn))
            assert not lane.provider.bill.items
            answer = await session.run(user_input=QUESTION)
            assert answer.events[-1].item.text_content
    assert [(event.error.recoverable, event.error.type) for event in errors] == [
        (True, "realtime_model_error")
    ] * 4
    assert all(isinstance(event.error.error, RequestCancelledError) for event in errors)
    assert len(asked) == 5


def _has(said: list[str], turns: int) -> bool:
    return said.count("assistant") == turns


async def _refused(session: Any) -> None:
    with pytest.raises(RequestCancelledError):
        await session.run(user_input=QUESTION)


async def test_an_async_hook_is_awaited_before_the_reply_is_asked_for(lane: Lane) -> None:
    """As is a ledger across a network; what it refuses is not sent."""

    async def hook(params: Mapping[str, Any], _: BeforeRequestContext) -> BeforeRequestResult:
        await asyncio.sleep(0.02)
        refused = "secret" in str(params.get("instructions"))
        return BeforeRequestResult.cancel("no") if refused else BeforeRequestResult.proceed()

    with lane.instrumented(before_request=hook):
        async with talking(lane) as session:
            await ask(session)
            assert await heard(await session.generate_reply(instructions="Be short."))
            with pytest.raises(RequestCancelledError, match="no"):
                await session.generate_reply(instructions="Tell the secret.")
    assert len(lane.provider.bill.items) == 1


@pytest.mark.parametrize("leave", ["cancel", "interrupt", "aclose"])
async def test_a_reply_that_is_left_at_the_gate_is_never_sent_nor_charged(
    lane: Lane, leave: str
) -> None:
    """Whoever interrupts or closes while the gate waits finds nothing sent."""
    waiting = asyncio.Event()

    async def hook(*_: object) -> BeforeRequestResult:
        waiting.set()
        await asyncio.sleep(0.3)
        return BeforeRequestResult.proceed()

    with lane.instrumented(budgets=[WIDE], before_request=hook):
        async with talking(lane) as session:
            await ask(session)
            reply = session.generate_reply()
            await waiting.wait()
            if leave == "cancel":
                reply.cancel()
            elif leave == "interrupt":
                session.interrupt()
            else:
                await session.aclose()
            with pytest.raises((llm.RealtimeError, asyncio.CancelledError)):
                await reply
            await asyncio.sleep(0.4)
            assert (held(lane, WIDE), spent(lane, WIDE)) == (0, 0)
        (record,) = lane.records
    assert (record.attempts, record.cost) == (0, 0)
    assert not lane.provider.bill.items


async def test_an_interrupted_reply_costs_what_the_provider_counted_until_then(lane: Lane) -> None:
    """It says so in the last event of the response that it cuts off."""
    lane.provider.interval_s = 0.02
    with lane.instrumented(budgets=[WIDE]):
        async with talking(lane) as session:
            await ask(session, "Tell it in detail.")
            generation = await session.generate_reply()
            async for message in generation.message_stream:
                async for _ in message.text_stream:
                    session.interrupt()
                    break
                break
            await until(lambda: lane.records)
            assert spent(lane, WIDE) == lane.provider.bill.total_nano_usd
        (record,) = lane.records
        (item,) = lane.provider.bill.items
    assert (record.cost, record.usage.estimated) == (item.nano_usd, False)
    assert 0 < (record.usage.output_tokens or 0) == item.output_tokens < 400
    assert record.finish_reasons == ("client_cancelled",)


async def test_a_reply_that_livekit_discards_before_it_begins_is_booked(lane: Lane) -> None:
    """LiveKit would tell no metrics of it; the provider has charged for it."""
    lane.provider.ttft_s = 0.2
    metrics: list[Any] = []
    with lane.instrumented(budgets=[WIDE]):
        async with talking(lane) as session:
            await ask(session)
            sent: list[str] = []
            session.on("openai_client_event_queued", lambda event: sent.append(event["type"]))
            session.on("metrics_collected", metrics.append)
            reply = session.generate_reply()
            await until(lambda: "response.create" in sent)
            reply.cancel()
            await until(lambda: lane.records)
            assert spent(lane, WIDE) == lane.provider.bill.total_nano_usd > 0
        (record,) = lane.records
        (span,) = lane.spans("generate_content gpt-realtime")
    (told,) = [each for each in metrics if each.request_id]
    (item,) = lane.provider.bill.items
    assert (told.input_tokens, told.output_tokens) == (item.input_tokens, item.output_tokens)
    assert told.output_token_details.audio_tokens == item.audio_output_tokens
    assert record.cost == item.nano_usd
    assert not record.usage.estimated
    assert (span.attributes or {})["aden.cost.usd"] == record.cost / 1e9
    assert record.span_id == f"{span.context.span_id:016x}"


async def test_a_reply_that_nothing_answers_is_settled_when_the_session_closes(lane: Lane) -> None:
    """Cut off without a usage: an estimate, and marked as one."""
    lane.provider.interval_s = 0.05
    with lane.instrumented(budgets=[WIDE]):
        async with talking(lane) as session:
            await ask(session, "Tell it in detail.")
            generation = await session.generate_reply()
            async for message in generation.message_stream:
                async for _ in message.text_stream:
                    break
                break
        await until(lambda: lane.records)
        assert held(lane, WIDE) == 0
        (record,) = lane.records
    assert (record.usage.estimated, record.stream_end) == (True, "abandoned")
    assert record.cost > 0


async def test_a_reply_that_the_server_rejects_costs_nothing(lane: Lane) -> None:
    """An error names the request; nobody is charged, and LiveKit's own error is what one sees."""
    lane.provider.script(Status(400, message="No such voice."))
    with lane.instrumented(budgets=[WIDE]):
        async with talking(lane) as session:
            await ask(session)
            with pytest.raises(llm.RealtimeError, match="No such voice"):
                await session.generate_reply()
            await until(lambda: lane.records)
            assert (held(lane, WIDE), spent(lane, WIDE)) == (0, 0)
            await heard(await session.generate_reply())
            await until(lambda: len(lane.records) == 2)
            assert spent(lane, WIDE) == lane.provider.bill.total_nano_usd


async def test_a_connection_that_is_lost_settles_what_was_on_its_way(lane: Lane) -> None:
    """LiveKit reconnects and goes on; so do we."""
    lane.provider.script(Drop(after_tokens=5))
    with lane.instrumented(budgets=[WIDE]):
        async with talking(lane) as session:
            await ask(session)
            await heard(await session.generate_reply())
            await until(lambda: lane.records)
            assert held(lane, WIDE) == 0
            await ask(session)
            await heard(await session.generate_reply())
            await until(lambda: len(lane.records) == 2)
        lost, whole = lane.records
        dropped, item = lane.provider.bill.items
    assert (lost.stream_end, lost.usage.estimated) == ("error", True)
    assert (lost.usage.output_tokens or 0) >= dropped.output_tokens
    assert (whole.cost, whole.usage.estimated) == (item.nano_usd, False)


async def test_a_tools_answer_is_a_reply_of_its_own(lane: Lane) -> None:
    """Each passes the gate; each is on one span."""
    asked: list[object] = []

    def hook(*each: object) -> BeforeRequestResult:
        asked.append(each)
        return BeforeRequestResult.proceed()

    class Clerk(Agent):
        def __init__(self) -> None:
            super().__init__(instructions="You are a clerk.")

        @function_tool
        async def room(self, number: int) -> str:
            """Say whether a room is free."""
            return "The room is free."

    with lane.instrumented(budgets=[WIDE], before_request=hook):
        async with agent(lane, made=Clerk) as session:
            await session.run(user_input="Please call the tool.")
            await until(lambda: len(lane.records) == 2)
            assert spent(lane, WIDE) == lane.provider.bill.total_nano_usd
    assert len(asked) == 2
    spans = [s for s in lane.spans("realtime_inference") if "aden.cost.usd" in (s.attributes or {})]
    assert len(spans) == 2


async def test_a_usage_that_cannot_be_true_is_estimated(lane: Lane) -> None:
    """Negative or missing counts: an estimate, never less than nothing."""
    lane.provider.script(Usage(input_tokens=-5, output_tokens=None))
    with lane.instrumented(budgets=[WIDE]):
        async with talking(lane) as session:
            await ask(session)
            await heard(await session.generate_reply())
            await until(lambda: lane.records)
        (record,) = lane.records
    assert record.usage.estimated
    assert record.cost > 0


async def test_a_session_gates_nothing_once_aden_is_taken_out(lane: Lane) -> None:
    """Its wrapped functions pass calls through."""
    with lane.instrumented(budgets=[CLOSED]):
        async with talking(lane) as session:
            await ask(session)
            with pytest.raises(RequestCancelledError):
                await session.generate_reply()
            from aden import AdenInstrumentor

            AdenInstrumentor().uninstrument()
            assert await heard(await session.generate_reply())


async def test_two_sessions_side_by_side_are_booked_each_for_itself(lane: Lane) -> None:
    """Two agents in one process, at the same time."""
    with lane.instrumented(budgets=[WIDE]):
        async with agent(lane) as first, agent(lane) as second:
            assert rt_session(first) is not rt_session(second)
            for _ in range(2):
                await asyncio.gather(*(each.run(user_input=QUESTION) for each in (first, second)))
            await until(lambda: len(lane.records) == 4)
            assert spent(lane, WIDE) == lane.provider.bill.total_nano_usd
    spans = [s for s in lane.spans() if "aden.cost.usd" in (s.attributes or {})]
    assert len(spans) == 4


async def test_livekits_own_usage_has_each_reply_once(lane: Lane) -> None:
    """Those that it discards, too: as the provider counts them."""
    lane.provider.ttft_s = 0.2
    with lane.instrumented(budgets=[WIDE]):
        async with agent(lane) as session:
            await session.run(user_input=QUESTION)
            left = session.generate_reply(user_input=QUESTION)
            inner = rt_session(session)
            await until(lambda: inner._response_created_futures)
            left.interrupt(force=True)
            await until(lambda: len(lane.records) == 2)
            await until(lambda: _output(session) == sum(i.output_tokens for i in _bill(lane)))
            assert _output(session) == sum(item.output_tokens for item in _bill(lane)) > 0


def _bill(lane: Lane) -> Any:
    return lane.provider.bill.items


def _output(session: Any) -> int:
    return sum(each.output_tokens for each in session.usage.model_usage)
