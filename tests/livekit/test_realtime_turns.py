"""Replies that a realtime server begins by itself: decided ahead, stopped where they begin."""

import asyncio
from typing import Any

import pytest
from lane_kit import Lane, held, spent, until
from openai.types.realtime import AudioTranscription
from openai.types.realtime.realtime_audio_input_turn_detection import ServerVad
from realtime_kit import WIDE, agent, model, rt_session, speak, talking

from aden import BeforeRequestResult, Budget, RequestCancelledError

DETECTS: dict[str, Any] = {"turn_detection": ServerVad(type="server_vad", create_response=True)}


async def test_a_reply_of_the_servers_own_is_held_before_it_is_begun_and_booked_by_its_usage(
    lane: Lane,
) -> None:
    """From when the caller begins to speak: a process killed then leaves what it may cost."""
    with lane.instrumented(budgets=[WIDE]):
        async with talking(lane, **DETECTS) as session:
            speak(session, stop=False)
            await until(lambda: held(lane, WIDE))
            assert not lane.provider.bill.items
            speak(session)
            await until(lambda: lane.records)
            assert (held(lane, WIDE), len(lane.records)) == (0, 1)
            assert spent(lane, WIDE) == lane.provider.bill.total_nano_usd > 0
        (record,) = lane.records
    assert (record.usage.estimated, record.decision.action) == (False, "allow")
    assert record.usage.audio_input_tokens == lane.provider.bill.items[0].audio_input_tokens > 0


async def test_a_caller_whom_the_server_does_not_answer_costs_and_leaves_nothing(
    lane: Lane,
) -> None:
    """What was held for the answer is released, and nobody hears of it."""
    with lane.instrumented(budgets=[WIDE]):
        async with talking(lane, **DETECTS) as session:
            speak(session, stop=False)
            await until(lambda: held(lane, WIDE))
        assert (held(lane, WIDE), spent(lane, WIDE)) == (0, 0)
        assert not lane.records
        assert not list(lane.ledger.journal())


async def test_a_refused_reply_of_the_servers_own_is_stopped_where_it_begins(lane: Lane) -> None:
    """Its input, and what was said until the server heard us, are spent, and booked."""
    lane.provider.ttft_s, lane.provider.interval_s = 0.5, 0.02  # decided before it begins
    said: list[Any] = []
    errors: list[Any] = []
    with lane.instrumented(budgets=[Budget("calls", "0")]):
        async with agent(lane, **DETECTS) as session:
            session.on("error", errors.append)
            session.on("conversation_item_added", lambda event: said.append(event.item))
            speak(rt_session(session))
            await until(lambda: len(lane.records) == 2 and said)
            refused, cut = lane.records
            assert spent(lane, Budget("calls", "0")) == lane.provider.bill.total_nano_usd
        (item,) = lane.provider.bill.items
    assert (refused.decision.action, refused.cost, refused.attempts) == ("block", 0, 0)
    assert (cut.cost, cut.usage.estimated) == (item.nano_usd, False)
    assert item.output_tokens < 100  # of 300 and more
    (line,) = said
    assert "can't go on" in line.text_content  # and nothing of what the model said
    (event,) = errors
    assert isinstance(event.error.error, RequestCancelledError)
    assert event.error.recoverable


async def test_a_reply_that_begins_before_it_is_decided_is_stopped_as_soon_as_it_is(
    lane: Lane,
) -> None:
    """The hook takes longer than the caller speaks."""
    lane.provider.interval_s = 0.02

    async def hook(*_: object) -> BeforeRequestResult:
        await asyncio.sleep(0.3)
        return BeforeRequestResult.cancel("not now")

    with lane.instrumented(budgets=[WIDE], before_request=hook):
        async with talking(lane, **DETECTS) as session:
            speak(session)
            await until(lambda: len(lane.records) == 2)
            assert held(lane, WIDE) == 0
            assert spent(lane, WIDE) == lane.provider.bill.total_nano_usd
        (item,) = lane.provider.bill.items
    assert 5 <= item.output_tokens < 200  # of 300 and more
    assert {record.decision.action for record in lane.records} == {"block", "allow"}


@pytest.mark.parametrize("decided", ["while it runs", "when it is over"])
async def test_a_reply_that_is_let_through_late_is_held_no_longer_than_it_lasts(
    lane: Lane, decided: str
) -> None:
    """Nothing is kept of it until the caller speaks again, which may never be."""
    lane.provider.interval_s = 0.02
    decide, begun = asyncio.Event(), asyncio.Event()

    async def hook(*_: object) -> BeforeRequestResult:
        await decide.wait()
        return BeforeRequestResult.proceed()

    with lane.instrumented(budgets=[WIDE], before_request=hook):
        async with talking(lane, **DETECTS) as session:
            session.on("generation_created", lambda _: begun.set())
            speak(session)
            await begun.wait()
            await until(lambda: held(lane, WIDE))
            if decided == "while it runs":
                decide.set()
                await asyncio.sleep(0.1)
                assert (held(lane, WIDE) > 0, lane.records) == (True, [])
            lane.provider.interval_s = 0
            await until(lambda: lane.records)
            decide.set()
            await until(lambda: held(lane, WIDE) == 0)
            assert spent(lane, WIDE) == lane.provider.bill.total_nano_usd > 0
            speak(session, stop=False)
            await until(lambda: held(lane, WIDE))
        assert [record.decision.action for record in lane.records] == ["allow"]


async def test_after_a_refused_reply_the_next_caller_is_decided_anew(lane: Lane) -> None:
    """The budget may have room again."""
    shut = [True]

    def hook(*_: object) -> BeforeRequestResult:
        return BeforeRequestResult.cancel("no") if shut else BeforeRequestResult.proceed()

    lane.provider.interval_s = 0.005
    with lane.instrumented(budgets=[WIDE], before_request=hook):
        async with talking(lane, **DETECTS) as session:
            speak(session)
            await until(lambda: len(lane.records) == 2)
            shut.clear()
            speak(session)
            await until(lambda: len(lane.records) == 3)
        *_, last = lane.records
        assert last.cost == lane.provider.bill.items[-1].nano_usd
    assert last.finish_reasons == ("stop",)


async def test_what_a_caller_says_into_a_reply_cuts_it_off_and_both_are_booked(lane: Lane) -> None:
    """The server stops the one by itself and answers again."""
    lane.provider.interval_s = 0.02
    with lane.instrumented(budgets=[WIDE]):
        async with agent(lane, **DETECTS) as session:
            speak(rt_session(session))
            await until(lambda: rt_session(session)._current_generation)
            await asyncio.sleep(0.1)
            lane.provider.interval_s = 0.001
            speak(rt_session(session))
            await until(lambda: len(lane.records) == 2)
            assert spent(lane, WIDE) == lane.provider.bill.total_nano_usd
            assert held(lane, WIDE) == 0
        cut, whole = lane.records
    assert cut.finish_reasons == ("turn_detected",)
    assert [cut.cost, whole.cost] == [item.nano_usd for item in lane.provider.bill.items]
    shown = [s for s in lane.spans() if "aden.cost.usd" in (s.attributes or {})]
    assert len(shown) == 2


@pytest.mark.parametrize("limit", ["0", "100"])
async def test_what_is_written_down_of_the_caller_is_booked_and_never_refused(
    lane: Lane, limit: str
) -> None:
    """At its own model's price, under its own span."""
    writes = AudioTranscription(model="gpt-4o-mini-transcribe")
    budget = Budget("calls", limit)
    silent = ServerVad(type="server_vad", create_response=False)
    with lane.instrumented(budgets=[budget]):
        options = {"turn_detection": silent, "input_audio_transcription": writes}
        async with talking(lane, **options) as session:
            speak(session)
            await until(lambda: lane.records)
            assert spent(lane, budget) == lane.provider.bill.total_nano_usd > 0
        (record,) = lane.records
        (span,) = lane.spans("generate_content gpt-4o-mini-transcribe")
    assert (record.model, record.usage.estimated) == ("gpt-4o-mini-transcribe", False)
    assert (span.attributes or {})["aden.cost.usd"] == record.cost / 1e9


async def test_where_only_observed_nothing_is_stopped(lane: Lane) -> None:
    """What would have been decided is noted."""
    lane.provider.ttft_s = 0.5  # decided before it begins
    with lane.instrumented(budgets=[Budget("calls", "0")], mode="observe"):
        async with model(lane, **DETECTS) as realtime:
            session = realtime.session()
            speak(session)
            await until(lambda: lane.records)
            await session.aclose()
        (record,) = lane.records
    assert record.finish_reasons == ("stop",)
    assert record.observed is not None
    assert record.observed.action == "block"


async def test_a_reply_of_the_servers_own_is_not_taken_for_one_that_was_asked_for(
    lane: Lane,
) -> None:
    """A server names the request that it answers; what names none is its own."""
    lane.provider.ttft_s = 0.5
    usage = {"input_tokens": 1000, "output_tokens": 1000}
    with lane.instrumented(budgets=[WIDE]):
        async with talking(lane) as session:
            sent: list[str] = []
            session.on("openai_client_event_queued", lambda event: sent.append(event["type"]))
            asked = session.generate_reply()
            await until(lambda: "response.create" in sent)
            for kind, status in (("created", "in_progress"), ("done", "completed")):
                response = {"id": "resp_own", "status": status, "usage": usage}
                session.emit(
                    "openai_server_event_received",
                    {"type": f"response.{kind}", "response": response},
                )
            (own,) = lane.records
            assert (own.usage.output_tokens, held(lane, WIDE) > 0) == (1000, True)
            await asked
            await until(lambda: len(lane.records) == 2)
            (item,) = lane.provider.bill.items
            assert {record.cost for record in lane.records} == {own.cost, item.nano_usd}
