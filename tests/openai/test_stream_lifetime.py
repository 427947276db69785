"""A stream lives as long as it would without us, and is settled when it ends."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import openai
import pytest
from lanes import Lane, make_client
from shape_table import SHAPES, Shape
from shapes import ASKED, REQUEST, STREAM

from aden.metering.call import Call
from aden.testing import NoUsage, OpenAIServer, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from house import House


SHAPES_THAT_END = [
    shape for shape in SHAPES if shape.name in ("plain", "stream, usage asked", "plain 429")
]


@pytest.fixture
def no_gc() -> Iterator[None]:
    """Only reference counts free anything."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_gc")
@pytest.mark.parametrize("leave", ["read to its end", "closed"])
def test_an_ended_stream_is_freed_without_the_garbage_collector(
    leave: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """We add no reference cycle: what the SDK frees at once is freed at once."""
    instrumented()
    stream = make_client("sync", server).chat.completions.create(**STREAM)
    watch = weakref.ref(stream)
    if leave == "closed":
        next(stream)
        stream.close()
        stream._iterator._inner.close()  # the SDK's own generator refers to its stream
    else:
        list(stream)
    del stream
    assert watch() is None


@pytest.mark.usefixtures("no_gc")
@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("shape", SHAPES_THAT_END, ids=[each.name for each in SHAPES_THAT_END])
async def test_a_call_that_is_over_leaves_nothing_to_the_garbage_collector(
    shape: Shape, kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """It would keep each call's request, and stop the process for them all."""
    instrumented()
    others = weakref.WeakSet(_calls())
    server.script(*shape.steps)
    lane = Lane(kind, server)
    with contextlib.suppress(openai.OpenAIError):
        await shape.use(lane)
    await lane.close()
    for _ in range(100):  # other threads and the loop may be about to let go of it
        if not (alive := sum(call not in others for call in _calls())):
            break
        await asyncio.sleep(0.02)
    assert not alive


def _calls() -> list[Call]:
    return [each for each in gc.get_objects() if type(each) is Call]


@pytest.mark.usefixtures("no_gc")
def test_a_raw_response_is_freed_without_the_garbage_collector(
    server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """Neither a read nor an unread raw response is kept alive, and the unread one is settled."""
    house = instrumented()
    raw = make_client("sync", server).chat.completions.with_raw_response
    whole = raw.create(**REQUEST)
    left = raw.create(**STREAM)
    watches = [weakref.ref(each) for each in (whole, left)]
    left.http_response.close()
    del whole, left
    assert [watch() for watch in watches] == [None, None]
    assert [record.stream_end for record in house.settled(2)] == [None, "abandoned"]


def test_a_dropped_stream_settles_although_the_collector_interrupts_the_emitters_queue(
    server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """A destructor may run in the middle of anything: while every lock of ours is held, say."""
    house = instrumented()
    stream = make_client("sync", server).chat.completions.create(**STREAM)
    next(stream)
    meter = house.meter
    with meter.complaints._lock, meter.dispatcher._lock, meter.leases._lock:
        del stream
        gc.collect()
    record, _ = house.one_call()
    assert record.stream_end == "abandoned"


async def test_a_stream_may_be_read_and_left_in_another_task(
    server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """No context is attached across a yield, so no task inherits or detaches it."""
    house = instrumented()
    lane = Lane("async", server)
    stream = await lane.create(**STREAM)
    first = await asyncio.create_task(lane.take(stream, 2))
    rest = await asyncio.create_task(lane.all(stream))
    assert len(first) + len(rest) == 14
    record, _ = house.one_call()
    assert record.stream_end == "complete"


def test_what_comes_after_the_end_changes_nothing(
    server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """Closing twice, closing what is read, reading what is closed: settled once all the same."""
    house = instrumented()
    stream = make_client("sync", server).chat.completions.create(**STREAM)
    list(stream)
    stream.close()
    stream.close()
    with stream:
        assert list(stream) == []
    record, _ = house.one_call()
    assert (record.stream_end, record.usage.estimated) == ("complete", False)


def test_the_hidden_usage_leaves_no_trace_in_the_other_chunks(
    server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """Asked for usage, a provider writes ``"usage": null`` everywhere; the caller did not ask."""
    instrumented()
    chat = make_client("sync", server).chat.completions
    hidden, shown = (list(chat.create(**request)) for request in (STREAM, ASKED))
    assert not [chunk for chunk in hidden if "usage" in chunk.to_dict()]
    assert len(shown) == len(hidden) + 1
    assert shown[-1].usage.completion_tokens == 12
    bodies = [request.body or {} for request in server.requests]
    assert [body["stream_options"] for body in bodies] == [{"include_usage": True}] * 2


def test_bytes_that_the_caller_reads_himself_are_the_providers_own(
    server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """Under with_streaming_response nothing is asked for that could not be hidden."""
    instrumented()
    chat = make_client("sync", server).chat.completions
    with chat.with_streaming_response.create(**STREAM) as raw:
        assert not [line for line in raw.iter_lines() if "usage" in line]
    assert "stream_options" not in (server.requests[0].body or {})


def test_a_stream_keeps_its_class(server: OpenAIServer, instrumented: Callable[..., House]) -> None:
    """A program that asks for an ``openai.Stream`` gets one."""
    instrumented()
    stream: Any = make_client("sync", server).chat.completions.create(**STREAM)
    assert type(stream) is openai.Stream
    assert stream.response.headers["x-request-id"]
    stream.close()


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_a_server_that_does_not_know_stream_options_is_not_asked_again(
    kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """A stream that worked without us works with us: sent once more as the caller wrote it."""
    house = instrumented()
    refusal = "Unrecognized request argument supplied: stream_options"
    server.script(Status(400, message=refusal), NoUsage(), NoUsage())
    lane = Lane(kind, server)
    for _ in range(2):
        assert len(await lane.all(await lane.create(**STREAM))) == 14
    bodies = [request.body or {} for request in server.requests]
    assert ["stream_options" in body for body in bodies] == [True, False, False]
    first, second = house.settled(2)
    assert (first.attempts, second.attempts) == (2, 1)
    assert first.usage.output_tokens == second.usage.output_tokens == 12
    assert first.usage.estimated


async def test_a_caller_who_asks_for_usage_himself_gets_the_servers_refusal(
    server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """We take back only what we added."""
    instrumented()
    server.script(Status(400, message="Unrecognized request argument supplied: stream_options"))
    with pytest.raises(openai.BadRequestError):
        await Lane("async", server).create(**ASKED)
    assert len(server.requests) == 1


async def test_who_reads_a_stream_that_another_task_reads_does_not_end_its_metering(
    server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """Python turns the second one away; the first reads on to the end."""
    house = instrumented()
    lane = Lane("async", server)
    stream = await lane.create(**STREAM)
    readers = lane.all(stream), lane.all(stream)
    read, turned_away = (*await asyncio.gather(*readers, return_exceptions=True),)
    await lane.close()
    assert isinstance(turned_away, RuntimeError)
    assert read
    record, _ = house.one_call()
    assert (record.stream_end, record.usage.estimated) == ("complete", False)
    assert record.cost == server.bill.total_nano_usd


def test_who_reads_a_stream_that_another_thread_reads_does_not_end_its_metering(
    instrumented: Callable[..., House],
) -> None:
    """The same of threads."""
    with OpenAIServer(token_interval_ms=250) as server:
        house = instrumented()
        stream = make_client("sync", server).chat.completions.create(**STREAM)
        with ThreadPoolExecutor() as threads:
            reader = threads.submit(list, stream)
            time.sleep(0.6)  # it waits for another token now
            turned_away = threads.submit(list, stream).exception()
            assert reader.result()
        assert "already executing" in str(turned_away)
        record, _ = house.one_call()
        assert (record.stream_end, record.cost) == ("complete", server.bill.total_nano_usd)
