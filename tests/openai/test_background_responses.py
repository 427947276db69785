"""Background responses: gated when they are made, booked once when their result is fetched."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import openai
import pytest
from lanes import Lane

import aden
from aden.testing import Fail

if TYPE_CHECKING:
    from collections.abc import Callable

    from aden.testing import OpenAIServer
    from house import House

REQUEST: dict[str, Any] = {
    "model": "gpt-4o",
    "input": "Say hello in 12 tokens.",
    "max_output_tokens": 40,
    "background": True,
}
every_client = pytest.mark.parametrize("kind", ["sync", "async"])


async def finished(lane: Lane, response_id: str) -> Any:
    """The response, asked for until the provider has done with it."""
    while True:
        response = await lane.get(lane.responses.retrieve(response_id))
        if response.status not in ("queued", "in_progress"):
            return response
        await asyncio.sleep(0.01)


def check_booked(house: House, server: OpenAIServer) -> None:
    """One call, settled by the provider's own figures."""
    record, span = house.one_call()
    (item,) = server.bill.items
    assert not record.usage.estimated
    assert (record.usage.output_tokens, record.cost) == (item.output_tokens, item.nano_usd)
    assert house.balance().spent == item.nano_usd
    assert (span.attributes or {})["gen_ai.usage.output_tokens"] == item.output_tokens


@every_client
async def test_it_is_held_until_its_result_is_fetched_and_then_booked_once(
    kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """Each further look is free: it was billed already."""
    server.interval_s = 0.01
    house = instrumented()
    lane = Lane(kind, server)
    made = await lane.get(lane.responses.create(**REQUEST))
    assert (made.status, made.usage) == ("queued", None)
    assert house.balance().held > 0
    assert house.calls.records == ()
    await finished(lane, made.id)
    for _ in range(2):
        again = await lane.get(lane.responses.retrieve(made.id))
        assert again.usage is not None
    check_booked(house, server)
    await lane.close()


@every_client
async def test_a_stream_that_is_left_is_booked_by_what_the_provider_went_on_to_make(
    kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """Hanging up does not stop a background response."""
    house = instrumented()
    lane = Lane(kind, server)
    stream = await lane.get(lane.responses.create(**REQUEST, stream=True))
    (first,) = await lane.take(stream, 1)
    await lane.take(stream, 4)
    await lane.get(stream.close())
    assert house.balance().held > 0
    await finished(lane, first.response.id)
    check_booked(house, server)
    assert house.calls.records[0].stream_end == "abandoned"
    await lane.close()


@every_client
async def test_the_result_may_be_fetched_as_a_stream(
    kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """``retrieve(stream=True)`` and ``stream(response_id=…)`` read it again."""
    house = instrumented()
    lane = Lane(kind, server)
    made = await lane.get(lane.responses.create(**REQUEST))
    stream = await lane.get(lane.responses.retrieve(made.id, stream=True))
    await lane.all(stream)
    async with lane.within(lane.responses.stream(response_id=made.id)) as helper:
        await lane.get(helper.get_final_response())
    check_booked(house, server)
    await lane.close()


@every_client
async def test_raw_responses_tell_as_much(
    kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """``with_raw_response`` on both sides."""
    house = instrumented()
    lane = Lane(kind, server)
    made = (await lane.get(lane.responses.with_raw_response.create(**REQUEST))).parse()
    raw = await lane.get(lane.responses.with_raw_response.retrieve(made.id))
    assert raw.parse().status == "completed"
    check_booked(house, server)
    await lane.close()


@every_client
async def test_it_may_be_read_again_by_lines(
    kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """``with_streaming_response.retrieve(stream=True)``, of which nobody makes a stream."""
    house = instrumented()
    lane = Lane(kind, server)
    made = await lane.get(lane.responses.create(**REQUEST))
    again = lane.responses.with_streaming_response.retrieve(made.id, stream=True)
    async with lane.within(again) as raw:
        assert len(await lane.all(raw.iter_lines())) > 12
    check_booked(house, server)
    await lane.close()


async def test_cancelled_it_costs_what_was_made(
    server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """``cancel`` answers with the usage so far."""
    server.interval_s = 0.02
    house = instrumented()
    lane = Lane("sync", server)
    made = lane.responses.create(**REQUEST | {"input": "Say hello in 120 tokens."})
    await asyncio.sleep(0.1)
    assert lane.responses.cancel(made.id).status == "cancelled"
    check_booked(house, server)
    assert 0 < server.bill.items[0].output_tokens < 40
    assert house.calls.records[0].finish_reasons == ("error",)
    await lane.close()


async def test_one_that_fails_says_so(
    server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """The error is the provider's own code, though no exception was raised."""
    server.script(Fail(3, "rate_limit_exceeded"))
    house = instrumented()
    lane = Lane("sync", server)
    made = lane.responses.create(**REQUEST)
    assert lane.responses.retrieve(made.id).status == "failed"
    record, span = house.one_call()
    assert record.error_type == "rate_limit_exceeded"
    assert (span.attributes or {})["error.type"] == "rate_limit_exceeded"
    await lane.close()


@pytest.mark.parametrize("streamed", [False, True])
async def test_never_fetched_it_is_booked_as_reserved_when_the_process_ends(
    streamed: bool, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """Nobody here saw what was made, or not all of it."""
    house = instrumented()
    lane = Lane("sync", server)
    answer = lane.responses.create(**REQUEST, stream=streamed)
    if streamed:
        await lane.take(answer, 6)
        answer.close()
    house.meter.settle_all()
    record, _ = house.one_call()
    assert record.usage.estimated
    assert record.usage.output_tokens == 40
    await lane.close()


async def test_what_others_made_is_free(
    server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """A response of another process, one that is gone, and stored chat completions."""
    lane = Lane("sync", server)
    made = lane.responses.create(**REQUEST)
    house = instrumented()
    assert lane.responses.retrieve(made.id).usage is not None
    with pytest.raises(openai.NotFoundError):
        lane.responses.retrieve("resp_of_nobody")
    with pytest.raises(openai.NotFoundError):
        lane.chat.retrieve("chatcmpl-1")
    with pytest.raises(openai.NotFoundError):
        lane.chat.list()
    aden.flush(2)
    assert house.calls.records == ()
    assert house.spans == ()
    assert house.balance().spent == 0
    await lane.close()
