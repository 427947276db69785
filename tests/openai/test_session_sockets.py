"""``live`` and ``realtime.translations``: a session is one Call, billed by its time."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any

import openai
import pytest
from socket_talk import (
    ASK,
    SECOND,
    SESSION,
    answer,
    begin,
    converse,
    every_client,
    lane_to,
    speak,
    talk,
    translate,
    until,
)

import aden
from aden import Budget, RequestCancelledError, seconds
from aden.testing import Drop, Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from lanes import Lane

    from aden.testing import OpenAIServer
    from house import House


@every_client
@pytest.mark.parametrize("use", [converse, translate])
async def test_a_session_looks_as_without_us_and_costs_the_time_that_it_ran(
    use: Any, kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """One Call; a translation's time is that of the audio that was sent, for nobody tells it."""
    lane = lane_to(kind, server)
    bare = await use(lane)
    server.bill = type(server.bill)()
    house = instrumented()
    with house.parent() as parent:
        assert await use(lane) == bare
    await lane.close()
    record, span = house.one_call()
    (item,) = server.bill.items
    assert record.usage.session_ms == item.units == 3000
    assert record.usage.estimated is (use is translate)
    assert record.cost == item.nano_usd == house.balance().spent
    assert (record.stream_end, record.error_type) == ("complete", None)
    assert span.name == f"chat {item.model}"
    assert span.parent is not None
    assert span.parent.span_id == parent.span_id
    api = "translation" if use is translate else "live"
    assert (span.attributes or {})["openai.api.type"] == api
    assert (span.attributes or {})["aden.usage.session_seconds"] == 3


@every_client
@pytest.mark.parametrize("use", [converse, translate])
async def test_an_exhausted_budget_refuses_the_session(
    use: Any, kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """Before the event that begins it is sent."""
    house = instrumented(budgets=[Budget("all", "0")])
    lane = lane_to(kind, server)
    with pytest.raises(RequestCancelledError) as refused:
        await use(lane)
    await lane.close()
    assert isinstance(refused.value, openai.APIStatusError)
    assert not server.bill.items
    record, _ = house.one_call()
    assert (record.attempts, record.decision.reason) == (0, "exhausted")


async def test_a_session_fills_a_budget_of_seconds(
    server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """It holds its first minute, and is booked by the time that it ran."""
    house = instrumented(budgets=[Budget("all", limit=seconds(62))])
    lane = lane_to("sync", server)
    async with lane.within(lane.client.live.connect()) as connection:
        await begin(lane, connection)
        assert house.balance().held == 60_000
        await lane.get(connection.session.close())
        await until(lane, connection, "session.closed")
    await converse(lane)
    with pytest.raises(RequestCancelledError, match=r"3\.0 seconds spent of 62\.0 seconds"):
        await converse(lane)
    await lane.close()
    assert house.balance().spent == 3000


async def test_a_budget_that_is_never_exceeded_takes_no_session(
    server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """Nothing limits how long it runs."""
    instrumented(budgets=[Budget("all", "100", overrun="never")])
    lane = lane_to("sync", server)
    with pytest.raises(RequestCancelledError, match="the length of a session"):
        await converse(lane)
    await lane.close()


@every_client
async def test_a_session_that_outgrows_its_hold_holds_more(
    kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """A minute is held when it begins, and half more than it has run when that is over."""
    house = instrumented(budgets=[Budget("all", "0.12")])
    lane = lane_to(kind, server)
    async with lane.within(lane.client.live.connect()) as connection:
        await begin(lane, connection)
        held = house.balance().held
        for _ in range(5):
            await lane.get(connection.session.input_audio.append(audio=SECOND * 15))
            await until(lane, connection, "session.usage.updated")
        assert held == 50_000_000
        assert house.balance().held >= 75_000_000
        with pytest.raises(RequestCancelledError):
            await converse(lane)
        await lane.get(connection.session.close())
        await until(lane, connection, "session.closed")
    await lane.close()
    assert house.balance().spent == server.bill.total_nano_usd


@every_client
@pytest.mark.parametrize("ending", ["left", "dropped", "lost"])
async def test_a_session_that_has_no_end_costs_what_it_came_to(
    ending: str, kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """By what was told last, and the time since."""
    house = instrumented()
    lane = lane_to(kind, server)
    manager = lane.client.live.connect()
    connection = await lane.get(manager.enter())
    await begin(lane, connection)
    await speak(lane, connection)
    socket = connection._connection
    if ending == "left":
        await lane.get(connection.close())
    elif ending == "lost":
        server.script(Drop(0))
        await lane.get(connection.response.create())
        with pytest.raises(Exception, match="no close frame"):
            await until(lane, connection, "session.closed")
    del connection, manager
    gc.collect()
    records = house.settled(2 if ending == "lost" else 1)
    (record,) = [each for each in records if each.model == "gpt-live-1"]
    assert record.stream_end == ("error" if ending == "lost" else "abandoned")
    assert record.usage.estimated
    assert 3000 <= (record.usage.session_ms or 0) <= 60_000
    await lane.get(socket.close())
    await lane.close()


@every_client
async def test_what_a_backend_answers_is_a_call_of_its_own(
    kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """One that the session asked for, one that the program did, and a decision."""
    house = instrumented()
    lane = lane_to(kind, server)
    async with lane.within(lane.client.live.connect()) as connection:
        await begin(lane, connection, SESSION | {"instructions": "please delegate"})
        await _answered(lane, connection)
        await lane.get(connection.response.create())
        await _answered(lane, connection)
        await lane.get(connection.decision.create(event_id="decision_1"))
        await until(lane, connection, "decision.event")
        await lane.get(connection.session.close())
        await until(lane, connection, "session.closed")
    await lane.close()
    records = house.settled(4)
    asked = [each for each in records if each.model == "gpt-4o"]
    assert len(asked) == 3
    assert not any(record.usage.estimated for record in asked)
    assert [record.cost for record in asked] == [
        item.nano_usd for item in server.bill.items if item.model == "gpt-4o"
    ]
    assert sum(record.cost for record in records) == house.balance().spent
    assert house.balance().spent == server.bill.total_nano_usd


@every_client
async def test_what_the_program_asks_a_backend_is_gated(
    kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """The session runs on."""

    def no_answers(params: Any, _context: Any) -> Any:
        if params.get("type") in ("response.create", "decision.create"):
            return aden.BeforeRequestResult.cancel("no")
        return aden.BeforeRequestResult.proceed()

    house = instrumented(before_request=no_answers)
    lane = lane_to(kind, server)
    async with lane.within(lane.client.live.connect()) as connection:
        await begin(lane, connection)
        with pytest.raises(RequestCancelledError):
            await lane.get(connection.response.create())
        with pytest.raises(RequestCancelledError):
            await lane.get(connection.decision.create(event_id="decision_1"))
        assert "session.usage.updated" in await speak(lane, connection, 1)
    await lane.close()
    assert [record.attempts for record in house.settled(3)] == [0, 0, 1]
    assert [item.model for item in server.bill.items] == ["gpt-live-1"]


@every_client
async def test_what_a_backend_refuses_is_free_and_its_next_answer_is_the_next_ones(
    kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """The error names the event; the session runs on, and nothing stays held."""
    house = instrumented()
    lane = lane_to(kind, server)
    async with lane.within(lane.client.live.connect()) as connection:
        await begin(lane, connection)
        held = house.balance().held
        server.script(Status(400, code_name="invalid_prompt"))
        await lane.get(connection.response.create(event_id="first"))
        await until(lane, connection, "error")
        assert house.balance().held == held
        await lane.get(connection.response.create(event_id="second"))
        await _answered(lane, connection)
        await lane.get(connection.session.close())
        await until(lane, connection, "session.closed")
    await lane.close()
    first, second, session = house.settled(3)
    assert (first.error_type, first.cost) == ("invalid_prompt", 0)
    assert (second.model, second.usage.estimated) == ("gpt-4o", False)
    assert second.cost + session.cost == server.bill.total_nano_usd


@every_client
async def test_a_fork_runs_the_model_of_its_session_and_a_sideband_books_no_second_time(
    kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """Each millisecond once, whoever is told of it."""
    house = instrumented()
    lane = lane_to(kind, server)
    live = lane.client.live
    async with lane.within(live.connect()) as connection:
        started = await begin(lane, connection)
        name = started.session.id
        await speak(lane, connection)
        async with lane.within(live.sideband.connect(session_id=name)) as sideband:
            await until(lane, sideband, "session.usage.updated")
        await lane.get(connection.session.close())
        await until(lane, connection, "session.closed")
    async with lane.within(live.forks.connect(session_id=name)) as fork:
        await begin(lane, fork, {})
        await speak(lane, fork, 1)
        await lane.get(fork.session.close())
        await until(lane, fork, "session.closed")
    await lane.close()
    first, second = house.settled(2)
    assert (first.model, second.model) == ("gpt-live-1", "gpt-live-1")
    assert [first.usage.session_ms, second.usage.session_ms] == [3000, 1000]
    assert first.cost + second.cost == server.bill.total_nano_usd


@every_client
async def test_a_session_of_a_browsers_is_booked_by_the_sideband(
    kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """It was begun elsewhere, so it is metered and not gated."""
    lane = lane_to(kind, server)
    live = lane.client.live
    async with lane.within(live.connect()) as elsewhere:  # before Aden is in force
        started = await begin(lane, elsewhere)
        await speak(lane, elsewhere)
        house = instrumented(budgets=[Budget("all", "0")])
        manager = live.sideband.connect(session_id=started.session.id)
        async with lane.within(manager) as sideband:
            await until(lane, sideband, "session.usage.updated")
            await lane.get(sideband.session.close())
            await until(lane, sideband, "session.closed")
    await lane.close()
    record, _ = house.one_call()
    assert (record.model, record.usage.session_ms, record.usage.estimated) == (
        "gpt-live-1",
        3000,
        False,
    )
    assert record.cost == server.bill.total_nano_usd


@every_client
async def test_a_session_that_the_provider_refuses_is_free(
    kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """Its error is the call's."""
    server.script(Status(400, code_name="bad_voice"))
    house = instrumented()
    lane = lane_to(kind, server)
    async with lane.within(lane.client.live.connect()) as connection:
        await lane.get(connection.session.start(session=SESSION))
        await until(lane, connection, "error")
    await lane.close()
    record, _ = house.one_call()
    assert (record.error_type, record.cost, record.stream_end) == ("bad_voice", 0, "error")


@every_client
@pytest.mark.parametrize("api", ["responses", "realtime", "live"])
async def test_a_connection_that_was_open_before_is_gated_and_metered_from_then_on(
    api: str, kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """Nothing has to be opened anew."""
    lane = lane_to(kind, server)
    connect = {
        "responses": lane.responses.connect,
        "realtime": lambda: lane.client.realtime.connect(model="gpt-realtime"),
        "live": lane.client.live.connect,
    }
    async with lane.within(connect[api]()) as connection:
        if api == "live":
            await begin(lane, connection)
        house = instrumented()
        if api == "responses":
            await lane.get(connection.response.create(**ASK))
            await answer(lane, connection)
        elif api == "realtime":
            await talk(lane, connection)
        else:
            await speak(lane, connection)
            await lane.get(connection.session.close())
            await until(lane, connection, "session.closed")
        record, _ = house.one_call()
        (item,) = server.bill.items
        assert (record.model, record.usage.estimated) == (item.model, False)
        assert record.cost == item.nano_usd
        aden.uninstrument()
        instrumented(budgets=[Budget("none", "0")])
        if api != "live":
            with pytest.raises(RequestCancelledError):
                await lane.get(connection.response.create())
    await lane.close()


async def _answered(lane: Lane, connection: Any) -> None:
    """Read on to the end of a backend's response."""
    while True:
        event = (await until(lane, connection, "response.event"))[-1].event
        if event["type"] == "response.completed":
            return
