"""A hook of the program's HTTP client reads each answer in whole, as one that logs it does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from lanes import Lane
from shapes import STREAM

if TYPE_CHECKING:
    from collections.abc import Callable

    from aden.testing import OpenAIServer
    from house import House

A_WORD = 10_000
"""Nano-dollars of a token that gpt-4o makes."""


def reads(response: Any) -> None:
    """The sync client's hook."""
    response.read()


async def areads(response: Any) -> None:
    """The async client's hook."""
    await response.aread()


@pytest.fixture(params=["sync", "async"])
def lane(request: pytest.FixtureRequest, server: OpenAIServer) -> Lane:
    """A client with the hook."""
    http: Any = (
        httpx2.AsyncClient(event_hooks={"response": [areads]})
        if request.param == "async"
        else httpx2.Client(event_hooks={"response": [reads]})
    )
    return Lane(request.param, server, http_client=http)


async def test_a_stream_that_is_left_is_booked_as_the_whole_that_was_made(
    lane: Lane, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """All of it is here, however little the program looks at."""
    house = instrumented()
    stream = await lane.create(**STREAM)
    await lane.take(stream, 3)
    await lane.get(stream.close())
    await lane.close()
    record, _ = house.one_call()
    assert (record.stream_end, record.usage.estimated) == ("abandoned", True)
    over = record.cost - server.bill.total_nano_usd
    assert 0 <= over <= 4 * A_WORD  # the events that say who speaks, the usage and the end


async def parsed(lane: Lane) -> list[Any]:
    """A raw response, by chunks."""
    raw = await lane.get(lane.chat.with_raw_response.create(**STREAM))
    return [len(chunk.choices) for chunk in await lane.all(raw.parse())]


async def lines(lane: Lane) -> list[Any]:
    """The same, by lines."""
    raw = await lane.get(lane.chat.with_raw_response.create(**STREAM))
    return ["usage" in line for line in raw.http_response.text.splitlines()]


@pytest.mark.parametrize("read", [parsed, lines])
async def test_the_usage_that_nobody_asked_for_is_not_seen_in_a_raw_response(
    read: Callable[[Lane], Any],
    lane: Lane,
    server: OpenAIServer,
    instrumented: Callable[..., House],
) -> None:
    """And is booked."""
    without = await read(lane)
    billed = server.bill.total_nano_usd
    house = instrumented()
    assert await read(lane) == without
    await lane.close()
    record, _ = house.one_call()
    assert not record.usage.estimated
    assert record.cost == server.bill.total_nano_usd - billed > 0
