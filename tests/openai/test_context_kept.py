"""What is current after a call is what was current before it, also between two chunks."""

from __future__ import annotations

import asyncio
import gc
import threading
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from lanes import Lane
from opentelemetry import context, trace
from shapes import RAW, REQUEST, STREAM, STREAMING

from aden.instrumentation.openai.attempts import current_sending

if TYPE_CHECKING:
    from collections.abc import Callable

    from aden.testing import OpenAIServer
    from house import House


def current() -> tuple[Any, ...]:
    """All that a call makes current."""
    return context.get_current(), trace.get_current_span(), current_sending.get()


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_no_call_leaves_anything_current(
    kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """After a call, between two chunks, after a stream's end and its close."""
    house, lane, before = instrumented(), Lane(kind, server), current()
    await lane.create(**REQUEST)
    assert current() == before
    stream = await lane.create(**STREAM)
    async for _ in lane.each(stream):
        assert current() == before
    assert current() == before
    stream = await lane.create(**STREAM)
    await lane.take(stream, 2)
    assert current() == before
    await lane.get(stream.close())
    assert current() == before
    async with lane.within(lane.chat.stream(**REQUEST)) as helper:
        async for _ in lane.each(helper):
            assert current() == before
    async with lane.within(getattr(lane.chat, STREAMING).create(**STREAM)) as raw:
        async for _ in lane.each(raw.iter_lines()):
            assert current() == before
    raw = await lane.get(getattr(lane.chat, RAW).create(**STREAM))
    assert current() == before
    await lane.all(raw.parse())
    assert current() == before
    await lane.close()
    assert len(house.settled(6)) == 6


def test_a_generator_around_a_stream_keeps_the_context_of_its_caller(
    server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """Suspended, closed, and read in another thread than the one that asked."""
    house, lane, before = instrumented(), Lane("sync", server), current()

    def words() -> Any:
        yield from lane.chat.create(**STREAM)

    generator = words()
    next(generator)
    assert current() == before
    generator.close()
    assert current() == before
    stream, seen = lane.chat.create(**STREAM), []

    def read() -> None:
        seen.append(current())
        list(stream)
        seen.append(current())

    thread = threading.Thread(target=read)
    thread.start()
    thread.join()
    lane.client.close()
    gc.collect()  # the SDK's stream refers to itself
    assert seen[0] == seen[1]
    first, second = house.settled(2)
    assert {first.stream_end, second.stream_end} == {"abandoned", "complete"}


async def test_an_async_generator_and_another_task_keep_theirs(
    server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """The task that reads need not be the one that asked."""
    house, lane, before = instrumented(), Lane("async", server), current()

    async def words() -> Any:
        async for chunk in await lane.create(**STREAM):
            yield chunk

    generator = words()
    await generator.__anext__()
    assert current() == before
    await generator.aclose()
    assert current() == before
    stream = await lane.create(**STREAM)

    async def read() -> bool:
        mine = current()
        await lane.all(stream)
        return current() == mine

    assert await asyncio.create_task(read())
    assert current() == before
    await lane.close()
    gc.collect()
    assert len(house.settled(2)) == 2


class Silent(httpx2.AsyncBaseTransport):
    """A network that never answers, and is left at once."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Wait for good."""
        await asyncio.Event().wait()
        raise AssertionError(request)


@pytest.mark.parametrize("method", ["create", "parse"])
async def test_a_call_that_is_closed_outside_of_its_task_ends_as_without_us(
    method: str,
    server: OpenAIServer,
    instrumented: Callable[..., House],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As where a loop is stopped: its coroutine is closed in another context."""
    house = instrumented()
    client = httpx2.AsyncClient(transport=Silent())
    lane, before = Lane("async", server, http_client=client), current()
    work = getattr(lane.chat, method)(**REQUEST)
    task = asyncio.ensure_future(work)
    await asyncio.sleep(0.05)
    work.close()
    task.cancel()
    with pytest.raises(RuntimeError, match="already awaited"):
        await task
    await lane.close()
    record, _ = house.one_call()
    assert record.error_type == "GeneratorExit"
    assert record.usage.estimated
    assert current() == before
    assert not [each for each in caplog.records if each.levelname == "ERROR"]
