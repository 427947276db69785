"""A reader that is cancelled while it waits: httpcore closes its connection before it is told."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import openai
import pytest
from wire import EVENTS, Body, WireServer, chunk_of, events

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from house import House

QUESTION: dict[str, Any] = {
    "model": "gpt-4o",
    "messages": [{"role": "user", "content": "Tell me something in 400 tokens."}],
    "stream": True,
}


async def test_what_comes_in_while_its_reader_is_cancelled_is_booked(
    instrumented: Callable[..., House],
) -> None:
    """Whatever waits in the socket then."""
    house = instrumented()
    async with waiting_reader() as (reader, server):
        reader.cancel()
        made = busy_until_more_is_sent(server)
        with pytest.raises(asyncio.CancelledError):
            await reader
    record, _ = house.one_call()
    assert (record.usage.output_tokens or 0) >= made


async def test_what_a_late_loop_has_taken_in_for_a_cancelled_reader_is_booked(
    instrumented: Callable[..., House],
) -> None:
    """It is in the socket no more, and whom it was taken in for never reads it."""
    house, loop = instrumented(), asyncio.get_running_loop()
    async with waiting_reader() as (reader, server):
        made = busy_until_more_is_sent(server)
        # The loop takes it in after its next callback, and wakes the reader after the one behind.
        loop.call_soon(lambda: loop.call_soon(reader.cancel))
        with pytest.raises(asyncio.CancelledError):
            await reader
    record, _ = house.one_call()
    assert (record.usage.output_tokens or 0) >= made


@asynccontextmanager
async def waiting_reader() -> AsyncIterator[tuple[asyncio.Task[Any], WireServer]]:
    """Somebody who waits for an answer's sixth piece, and the server from which it comes."""
    words = tuple(events([chunk_of(f" {word}")], done=False) for word in range(400))
    with WireServer() as server:
        server.body = Body(words, EVENTS, every_s=0.01)
        async with openai.AsyncOpenAI(
            base_url=server.base_url, api_key="k", max_retries=0
        ) as client:
            stream = await client.chat.completions.create(**QUESTION)
            for _ in range(5):
                await anext(stream)
            reader = asyncio.create_task(anext(stream))
            await asyncio.sleep(0)
            yield reader, server


def busy_until_more_is_sent(server: WireServer) -> int:
    """Keep the loop busy until twenty pieces more are sent; how many these are in all."""
    made = server.sent + 20
    while server.sent < made:
        time.sleep(0.001)
    return made
