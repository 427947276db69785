"""``responses.connect`` and ``realtime.connect``: each response on a WebSocket is one Call."""

from __future__ import annotations

import asyncio
import gc
import json
import time
from typing import TYPE_CHECKING, Any

import openai
import pytest
from lanes import Lane
from response_shapes import OURS_ALONE, seen
from socket_talk import (
    API,
    ASK,
    ITEM,
    SECOND,
    answer,
    every_api,
    every_client,
    lane_to,
    respond,
    talk,
)

import aden
from aden import BeforeRequestResult, Budget, RequestCancelledError
from aden.testing import Drop, ErrorEvent, Fail, OpenAIServer, Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from house import House


@every_client
@every_api
async def test_a_response_looks_as_without_us_and_is_booked_by_its_usage(
    api: str, kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """Text, speech and what was cached, each at its price."""
    connect, use = API[api]
    lane = lane_to(kind, server)

    async def three_answers() -> Any:
        async with lane.within(connect(lane)) as connection:
            first = await use(lane, connection)
            more = [await use(lane, connection) for _ in range(2)]
            return type(connection), seen(first), [[e.type for e in each] for each in more]

    bare = await three_answers()
    server.bill = type(server.bill)()
    house = instrumented()
    with house.parent() as parent:
        ours = await three_answers()
    await lane.close()
    assert _without_ids(ours) == _without_ids(bare)
    records = house.settled(3)
    for record, item, span in zip(records, server.bill.items, _spans(house), strict=True):
        assert not record.usage.estimated
        assert record.usage.input_tokens == item.input_tokens
        assert record.usage.output_tokens == item.output_tokens
        assert (record.usage.audio_output_tokens or 0) == item.audio_output_tokens
        assert (record.usage.cached_audio_tokens or 0) == item.cached_audio_tokens
        assert record.cost == item.nano_usd
        assert (record.stream_end, record.error_type) == ("complete", None)
        assert record.response_id == item.request_id.replace("req_", "resp_")
        assert span.parent is not None
        assert span.parent.span_id == parent.span_id
        assert (span.attributes or {})["openai.api.type"] == api.removeprefix("beta ")
    assert server.bill.items[2].cached_audio_tokens > 0 or api.endswith("responses")


@every_client
@every_api
async def test_a_refusal_is_raised_before_anything_is_sent(
    api: str, kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """The connection stays usable; its other events pass."""
    connect, use = API[api]
    house = instrumented(budgets=[Budget("all", "0")])
    lane = lane_to(kind, server)
    async with lane.within(connect(lane)) as connection:
        with pytest.raises(RequestCancelledError) as refused:
            await use(lane, connection)
    await lane.close()
    assert isinstance(refused.value, openai.APIStatusError)
    assert not server.bill.items
    record, _ = house.one_call()
    assert (record.attempts, record.decision.action) == (0, "block")


@every_client
async def test_raw_text_is_gated_and_read_as_well(
    kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """``send_raw`` and ``recv_bytes``."""
    house = instrumented()
    lane = lane_to(kind, server)
    async with lane.within(lane.responses.connect()) as connection:
        await lane.get(connection.send_raw(json.dumps({"type": "response.create", **ASK})))
        while b"response.completed" not in await lane.get(connection.recv_bytes()):
            pass
    record, _ = house.one_call()
    assert record.cost == server.bill.items[0].nano_usd
    await lane.close()


@every_client
async def test_what_is_queued_before_the_connection_is_open_is_gated(
    kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """``manager.send``: refused by the sync client at once, by the async one on entering."""
    house = instrumented()
    lane = lane_to(kind, server)
    manager = lane.responses.connect()
    manager.send({"type": "response.create", **ASK})
    connection = await lane.get(manager.enter())
    await answer(lane, connection)
    await lane.get(connection.close())
    record, _ = house.one_call()
    assert record.cost == server.bill.items[0].nano_usd
    aden.uninstrument()
    house = instrumented(budgets=[Budget("none", "0")])

    async def queued_and_entered() -> None:
        manager = lane.responses.connect()
        manager.send({"type": "response.create", **ASK})
        await lane.get(manager.enter())

    with pytest.raises(RequestCancelledError):
        await queued_and_entered()
    assert len(server.bill.items) == 1
    await lane.close()


@every_client
async def test_what_was_queued_for_a_connection_that_never_opened_is_free(
    kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """Nobody has heard of it."""
    house = instrumented()
    lane = Lane(kind, server, websocket_base_url="ws://127.0.0.1:9/v1")
    manager = lane.responses.connect()
    manager.send({"type": "response.create", **ASK})
    with pytest.raises(OSError, match="Connect"):
        await lane.get(manager.enter())
    await lane.close()
    record, _ = house.one_call()
    assert (record.cost, record.usage.output_tokens, record.stream_end) == (0, None, "error")


@every_client
async def test_a_degraded_response_asks_the_cheaper_model(
    kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """On the Responses API; a realtime connection's model is fixed."""
    cheaper = BeforeRequestResult.degrade(to_model="gpt-4o-mini", reason="test")
    house = instrumented(before_request=lambda *_: cheaper)
    lane = lane_to(kind, server)
    async with lane.within(lane.responses.connect()) as connection:
        await respond(lane, connection)
    async with lane.within(lane.client.realtime.connect(model="gpt-realtime")) as connection:
        await talk(lane, connection)
    await lane.close()
    assert [record.model for record in house.settled(2)] == ["gpt-4o-mini", "gpt-realtime"]
    assert [item.model for item in server.bill.items] == ["gpt-4o-mini", "gpt-realtime"]


@every_client
@pytest.mark.parametrize(("api", "output"), [("responses", 3), ("realtime", 15)])
async def test_left_in_the_middle_it_costs_what_was_seen(
    api: str, output: int, kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """Three words; spoken, each with four tokens of speech."""
    server.interval_s = 0.02
    connect, use = API[api]
    house = instrumented()
    lane = lane_to(kind, server)
    async with lane.within(connect(lane)) as connection:
        await use(lane, connection, words=3)
    await lane.close()
    record, _ = house.one_call()
    assert (record.stream_end, record.error_type) == ("abandoned", None)
    assert record.usage.estimated
    assert output <= (record.usage.output_tokens or 0) <= 40  # what came unread is billed besides
    assert (record.usage.audio_output_tokens or 0) >= (12 if api == "realtime" else 0)


async def test_dropped_it_is_settled_by_the_garbage_collector(
    server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """Nobody closes it."""
    server.interval_s = 0.02
    house = instrumented()
    lane = lane_to("sync", server)
    connection = lane.responses.connect().enter()
    await respond(lane, connection, words=3)
    socket = connection._connection
    del connection
    gc.collect()
    record, _ = house.one_call()
    assert record.stream_end == "abandoned"
    assert 3 <= (record.usage.output_tokens or 0) <= 40
    socket.close()
    await lane.close()


@every_client
@every_api
async def test_a_lost_connection_is_an_error_and_costs_what_was_seen(
    api: str, kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """The program sees the exception of ``websockets``."""
    connect, use = API[api]
    server.script(Drop(3))
    house = instrumented()
    lane = lane_to(kind, server)
    async with lane.within(connect(lane)) as connection:
        with pytest.raises(Exception, match="no close frame"):
            await use(lane, connection)
    await lane.close()
    record, span = house.one_call()
    assert (record.stream_end, record.error_type) == ("error", "ConnectionClosedError")
    assert (span.attributes or {})["error.type"] == "websockets.exceptions.ConnectionClosedError"
    assert record.usage.output_tokens == server.bill.items[0].output_tokens


@every_client
@pytest.mark.parametrize("step", [Fail(3, "server_error"), ErrorEvent(3)])
async def test_a_failed_response_has_the_providers_code(
    step: Any, kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """As an event of its own, or as the state of the response."""
    server.script(step)
    house = instrumented()
    lane = lane_to(kind, server)
    async with lane.within(lane.responses.connect()) as connection:
        await respond(lane, connection)
    await lane.close()
    record, _ = house.one_call()
    assert (record.error_type, record.stream_end) == ("server_error", "error")
    assert record.usage.output_tokens == 3


@every_client
async def test_a_request_that_the_provider_refuses_is_free(
    kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """The connection goes on: the next one is answered."""
    server.script(Status(400, code_name="invalid_prompt"))
    house = instrumented()
    lane = lane_to(kind, server)
    async with lane.within(lane.responses.connect()) as connection:
        assert (await respond(lane, connection))[-1].type == "error"
        await respond(lane, connection)
    await lane.close()
    first, second = house.settled(2)
    assert (first.error_type, first.cost) == ("invalid_prompt", 0)
    assert second.cost == server.bill.items[0].nano_usd


@every_client
async def test_what_a_realtime_server_answers_by_itself_is_metered_and_not_gated(
    kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """With turn detection nobody asks for the response."""
    asked: list[Any] = []
    told = {"before_request": lambda *each: asked.append(each)}
    house = instrumented(budgets=[Budget("all", "0")], **told)
    lane = lane_to(kind, server)
    listening = {"type": "realtime", "audio": {"input": {"turn_detection": {"type": "server_vad"}}}}
    async with lane.within(lane.client.realtime.connect(model="gpt-realtime")) as connection:
        await lane.get(connection.session.update(session=listening))
        await lane.get(connection.input_audio_buffer.append(audio=SECOND))
        await answer(lane, connection)
    await lane.close()
    record, span = house.one_call()
    (item,) = server.bill.items
    assert not asked
    assert (record.usage.audio_input_tokens, record.cost) == (10, item.nano_usd)
    assert house.balance().spent == item.nano_usd
    assert span.name == "chat gpt-realtime"


@every_client
@pytest.mark.parametrize("beta", [False, True], ids=["", "beta"])
async def test_what_a_session_has_written_down_is_booked_at_its_own_models_price(
    beta: bool, kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """It runs whether or not somebody answers, and no budget is asked."""
    house = instrumented(budgets=[Budget("all", "0")])
    lane = lane_to(kind, server)
    writes = {"model": "gpt-4o-mini-transcribe"}
    listening: dict[str, Any] = {"type": "realtime", "audio": {"input": {"transcription": writes}}}
    realtime = lane.client.realtime
    if beta:
        realtime, listening = lane.client.beta.realtime, {"input_audio_transcription": writes}
    async with lane.within(realtime.connect(model="gpt-realtime")) as connection:
        await lane.get(connection.session.update(session=listening))
        await lane.get(connection.input_audio_buffer.append(audio=SECOND))
        while "transcription" not in (await lane.get(connection.recv())).type:
            pass
    await lane.close()
    record, span = house.one_call()
    (item,) = server.bill.items
    assert (record.model, record.cost) == ("gpt-4o-mini-transcribe", item.nano_usd)
    assert (record.usage.audio_input_tokens, record.usage.estimated) == (10, False)
    assert house.balance().spent == item.nano_usd
    assert span.name == "generate_content gpt-4o-mini-transcribe"
    assert (span.attributes or {})["gen_ai.output.type"] == "text"


@every_client
async def test_a_response_is_capped_where_a_budget_is_never_exceeded(
    kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """A lowered cap, one where there was none, and then a refusal."""
    house = instrumented(budgets=[Budget("all", "0.0061", overrun="never")])
    lane = lane_to(kind, server)
    asked = {"model": "gpt-4o", "input": "Say hello in 300 tokens."}
    statuses, caps = [], []
    async with lane.within(lane.responses.connect()) as connection:
        for _ in range(3):
            await lane.get(connection.response.create(**asked, max_output_tokens=400))
            last = (await answer(lane, connection))[-1]
            statuses.append(last.type)
            caps.append(last.response.max_output_tokens)
        with pytest.raises(RequestCancelledError):
            await lane.get(connection.response.create(**asked))
    await lane.close()
    assert statuses == ["response.completed", "response.incomplete", "response.incomplete"]
    assert caps == [400, 200, 64]
    house.settled(4)
    shown = [(span.attributes or {}).get("gen_ai.request.max_tokens") for span in house.spans]
    assert shown[:3] == caps
    assert house.balance().spent == server.bill.total_nano_usd <= 6_100_000


@every_client
@pytest.mark.parametrize("api", ["realtime", "beta realtime"])
async def test_a_spoken_response_is_held_by_the_whole_session_and_its_speech(
    api: str, kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """What was heard before is read again; the cap of the session is no longer one of ours."""
    house = instrumented(budgets=[Budget("all", "1.3", overrun="never")])
    connect, _ = API[api]
    name = "max_output_tokens" if api == "realtime" else "max_response_output_tokens"
    lane = lane_to(kind, server)
    async with lane.within(connect(lane)) as connection:
        await lane.get(connection.conversation.item.create(item=ITEM))
        await lane.get(connection.response.create())
        held = house.balance().held
        await answer(lane, connection)
        await lane.get(connection.session.update(session={name: 7}))
        while (await lane.get(connection.recv())).type != "session.updated":
            pass
        await lane.get(connection.response.create())
        await answer(lane, connection)
    await lane.close()
    assert held > 32_000 * 32_000  # the window, as audio
    _, second = house.settled(2)
    assert second.finish_reasons == ("length",)
    shown = [(span.attributes or {}).get("gen_ai.request.max_tokens") for span in house.spans]
    assert shown == [4096, 7]
    assert house.balance().spent == server.bill.total_nano_usd


async def test_a_reader_that_is_cancelled_loses_nothing(
    server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """``recv`` may be cancelled, as ``asyncio.wait_for`` does it; the next one reads on."""
    server.ttft_s = 0.1
    house = instrumented()
    lane = lane_to("async", server)
    async with lane.responses.connect() as connection:
        await connection.response.create(**ASK)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(connection.recv(), 0.02)
        await answer(lane, connection)
    await lane.close()
    record, _ = house.one_call()
    assert (record.stream_end, record.usage.estimated) == ("complete", False)


async def test_a_throttled_response_waits_before_it_is_sent(
    server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """The loop runs on meanwhile."""
    house = instrumented(before_request=lambda *_: BeforeRequestResult.throttle(delay_ms=120))
    lane = lane_to("async", server)
    began = time.monotonic()
    async with lane.responses.connect() as connection:
        await respond(lane, connection)
    assert time.monotonic() - began >= 0.12
    assert house.one_call()[0].decision.delay_ms == 120
    await lane.close()


def _spans(house: House) -> list[Any]:
    aden.flush(2)
    return [span for span in house.spans if span.name.startswith("chat")]


def _without_ids(value: Any) -> str:
    return OURS_ALONE.sub("", json.dumps(value, default=str))


def test_what_waits_on_a_connection_is_booked_where_the_process_ends(
    instrumented: Callable[..., House],
) -> None:
    """By the rate so far, as where the program closes it."""
    with OpenAIServer(ttft_ms=1, token_interval_ms=10) as slow:
        house = instrumented()
        client = openai.OpenAI(
            base_url=slow.base_url, websocket_base_url=slow.websocket_base_url, api_key="k"
        )
        with client.responses.connect() as connection:
            connection.response.create(model="gpt-4o", input="Tell me something in 400 tokens.")
            deltas = 0
            while deltas < 10:
                deltas += connection.recv().type == "response.output_text.delta"
            time.sleep(0.3)
            house.meter.settle_all()
        (record,) = house.settled()
    assert record.stream_end == "abandoned"
    assert (record.usage.output_tokens or 0) > 2 * deltas
