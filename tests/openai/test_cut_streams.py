"""A stream that is cut off is booked by what the provider has made, to the token."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import subprocess
import sys
import textwrap
import time
import types
import zlib
from typing import TYPE_CHECKING, Any

import openai
import pytest
from wire import EVENTS, Body, WireServer, chunk_of, events

from aden.instrumentation import connection
from aden.ledger.sqlite import SqliteLedger
from aden.testing import OpenAIServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from house import House

LONG: dict[str, Any] = {
    "model": "gpt-4o",
    "messages": [{"role": "user", "content": "Tell me something in 400 tokens."}],
    "stream": True,
}
CUTS = 20


@pytest.fixture
def slow_server() -> Iterator[OpenAIServer]:
    """A hundred tokens a second: a cut falls between two of them."""
    with OpenAIServer(ttft_ms=5, token_interval_ms=10) as server:
        yield server


@pytest.mark.parametrize("cut", ["left", "cancelled"])
def test_the_output_of_an_interrupted_answer_is_the_bills(
    cut: str, slow_server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """A provider that is near notices at once, so nothing is added to what it has sent."""
    house = instrumented()
    asyncio.run(_cut_off(slow_server, cut))
    assert slow_server.wait_idle()
    booked = [record.usage.output_tokens for record in house.settled(CUTS)]
    billed = [item.output_tokens for item in slow_server.bill.items]
    exact = [ours for ours, its in zip(booked, billed, strict=True) if ours == its]
    assert len(exact) >= CUTS - 5, (booked, billed)  # a token may be made in the very moment


def test_what_waits_unread_is_made_and_so_it_is_booked(
    slow_server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """An agent that reads one word and thinks for a while is billed for the others."""
    house = instrumented()
    with openai.OpenAI(base_url=slow_server.base_url, api_key="k", max_retries=0) as client:
        stream = client.chat.completions.create(**LONG)
        next(stream)
        next(stream)
        slow_server.stopping.wait(0.3)
        stream.close()
    assert slow_server.wait_idle()
    record, _ = house.one_call()
    (item,) = slow_server.bill.items
    assert item.output_tokens > 10
    assert abs((record.usage.output_tokens or 0) - item.output_tokens) <= 1  # made in that moment


async def test_what_waits_unread_in_aiohttp_is_booked_too(
    slow_server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """The SDK's other transport takes what comes in at once, and keeps it until it is asked for."""
    house = instrumented()
    async with (
        openai.DefaultAioHttpClient() as http_client,
        openai.AsyncOpenAI(
            base_url=slow_server.base_url, api_key="k", http_client=http_client
        ) as client,
    ):
        stream = await client.chat.completions.create(**LONG)
        async for _ in stream:
            break
        await asyncio.sleep(0.3)
        await stream.close()
        assert await asyncio.to_thread(slow_server.wait_idle)
    record, _ = house.one_call()
    (item,) = slow_server.bill.items
    assert item.output_tokens > 10
    assert abs((record.usage.output_tokens or 0) - item.output_tokens) <= 1  # made in that moment


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "deflate", "br", "zstd"])
@pytest.mark.parametrize("read", [0, 2])
def test_what_waits_unread_and_packed_is_estimated_by_its_size(
    read: int, encoding: str, instrumented: Callable[..., House]
) -> None:
    """A proxy may compress; what nobody has unpacked was made all the same."""
    house = instrumented()
    pieces = packed([chunk_of(f" {word}") for word in range(400)], encoding)
    with WireServer() as wire, openai.OpenAI(base_url=wire.base_url, api_key="k") as client:
        wire.body = Body(tuple(pieces), EVENTS, encoding=encoding, chunked=True, every_s=0.005)
        stream = client.chat.completions.create(**LONG)
        for _ in range(read):
            next(stream)
        time.sleep(0.4)
        sent = wire.sent
        stream.close()
        record, _ = house.one_call()
    assert sent > 10
    assert 0.8 * sent <= (record.usage.output_tokens or 0) <= 1.25 * wire.sent + 2


@pytest.mark.parametrize("whole", [True, False])
def test_packed_lines_are_read_as_they_come(
    *, whole: bool, instrumented: Callable[..., House]
) -> None:
    """Under ``with_streaming_response``: left early, what was read is no guess."""
    house = instrumented()
    usage = {"prompt_tokens": 1000, "completion_tokens": 20, "total_tokens": 1020}
    chunks = [chunk_of(" word") for _ in range(20)]
    pieces = packed([*chunks, chunk_of("") | {"choices": [], "usage": usage}], "gzip")
    with WireServer() as wire, openai.OpenAI(base_url=wire.base_url, api_key="k") as client:
        wire.body = Body(tuple(pieces), EVENTS, encoding="gzip", every_s=0.01)
        with client.chat.completions.with_streaming_response.create(**LONG) as raw:
            lines = raw.iter_lines()
            for _ in range(1000 if whole else 9):
                next(lines, None)
        record, _ = house.one_call()
    assert record.usage.estimated is not whole
    assert record.response_id == "chatcmpl-1"
    assert 5 <= (record.usage.output_tokens or 0) <= 20
    assert (record.usage.input_tokens == 1000) is whole


def test_what_cannot_be_unpacked_fails_as_without_us_and_is_booked_by_what_was_read(
    instrumented: Callable[..., House],
) -> None:
    """The error is the SDK's own."""
    house = instrumented()
    pieces = packed([chunk_of(" word") for _ in range(3)], "gzip")
    pieces[1] = b"\xff" * len(pieces[1])
    with WireServer() as wire, openai.OpenAI(base_url=wire.base_url, api_key="k") as client:
        wire.body = Body(tuple(pieces), EVENTS, encoding="gzip", every_s=0.1)
        stream = client.chat.completions.create(**LONG)
        assert next(stream)
        with pytest.raises(openai.APIConnectionError):
            next(stream)
        stream.close()
    (record,) = house.settled()
    assert record.usage.output_tokens == 1


@pytest.mark.parametrize("first", ["the SDK's stream", "the connection"])
def test_what_the_garbage_collector_closes_is_booked_as_what_its_caller_does(
    first: str, instrumented: Callable[..., House]
) -> None:
    """The SDK's stream refers to itself: who just stops reading leaves it to the collector.

    Which finalizes what hangs together in the order in which it came to know it.
    """
    house = instrumented()
    met_first: list[object] = []  # older than what is left
    with (
        OpenAIServer(ttft_ms=5, token_interval_ms=25) as server,
        openai.OpenAI(base_url=server.base_url, api_key="k", max_retries=0) as client,
        _collected_on_demand(),
    ):
        stream = client.chat.completions.create(**LONG)
        descriptor = _line_of(stream).get_extra_info("socket").fileno()
        left = [iter(stream)]
        next(left[0])
        del stream
        if first == "the connection":
            met_first += _generators_of("httpcore2")
        gc.collect()
        met_first.clear()
        left.clear()
        _await_unread(descriptor, 12)
        gc.collect()
        assert server.wait_idle()
    record, _ = house.one_call()
    (item,) = server.bill.items
    assert item.output_tokens > 10
    assert abs((record.usage.output_tokens or 0) - item.output_tokens) <= 1  # made in that moment


def test_a_collector_that_is_held_up_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, instrumented: Callable[..., House]
) -> None:
    """A busy machine may halt it before it comes to the connection; the provider goes on."""
    house = instrumented()
    with (
        OpenAIServer(ttft_ms=5, token_interval_ms=25) as server,
        openai.OpenAI(base_url=server.base_url, api_key="k", max_retries=0) as client,
        _collected_on_demand(),
    ):
        stream = client.chat.completions.create(**LONG)
        line = type(_line_of(stream))
        left = [iter(stream)]
        next(left[0])
        del stream
        close = line.close

        def close_late(connection: Any) -> None:
            time.sleep(0.25)
            close(connection)

        monkeypatch.setattr(line, "close", close_late)
        gc.collect()
        left.clear()
        gc.collect()
        assert server.wait_idle()
    record, _ = house.one_call()
    (item,) = server.bill.items
    assert item.output_tokens > 5
    assert abs((record.usage.output_tokens or 0) - item.output_tokens) <= 1  # made in that moment


@contextlib.contextmanager
def _collected_on_demand() -> Iterator[None]:
    """No thread that happens to make something sets the collector off."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _line_of(stream: Any) -> Any:
    return stream.response.extensions["network_stream"]


def _await_unread(descriptor: int, pieces: int) -> None:
    """Until so many wait in a socket, however long a provider takes for them."""
    until = time.monotonic() + 20
    while connection.unread(descriptor).count(b"data:") < pieces:
        assert time.monotonic() < until
        time.sleep(0.01)


def _generators_of(package: str) -> list[object]:
    generators = [each for each in gc.get_objects() if isinstance(each, types.GeneratorType)]
    return [each for each in generators if f"/{package}/" in each.gi_code.co_filename]


@pytest.mark.parametrize(("read", "again"), [(0, ""), (2, ""), (2, "again")])
def test_what_waits_unread_is_booked_where_the_process_ends(
    read: int, again: str, slow_server: OpenAIServer, tmp_path: Path
) -> None:
    """It keeps its stream to the last. What is made while it winds down, nobody sees.

    So too where it was instrumented again meanwhile, as each job in a thread of LiveKit's does.
    """
    ledger = SqliteLedger(tmp_path / "ledger.db")
    arguments = (slow_server.base_url, f"sqlite://{ledger.path}", str(read), again)
    program = textwrap.dedent("""
        import sys, time, aden, openai
        base_url, ledger, read, again = sys.argv[1:]
        aden.instrument(budgets=[aden.Budget("all", "100")], ledger=ledger)
        client = openai.OpenAI(base_url=base_url, api_key="k", max_retries=0)
        asked = [{"role": "user", "content": "Tell me something in 400 tokens."}]
        stream = client.chat.completions.create(model="gpt-4o", messages=asked, stream=True)
        for _ in range(int(read)):
            next(stream)
        if again:
            aden.instrument(budgets=[aden.Budget("all", "100")], ledger=ledger)
        time.sleep(0.4)
    """)
    subprocess.run([sys.executable, "-c", program, *arguments], check=True, timeout=60)
    assert slow_server.wait_idle()
    (record,) = ledger.journal()
    (item,) = slow_server.bill.items
    ledger.close()
    assert record.stream_end == "abandoned"
    assert 20 <= (record.usage.output_tokens or 0) <= item.output_tokens + 4


@pytest.mark.parametrize("cap", [30, 400])
def test_a_stream_that_was_never_begun_is_booked_as_reserved(
    cap: int, slow_server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """Nothing closes its connection, the collector neither: the provider makes all of it."""
    house = instrumented()
    with openai.OpenAI(base_url=slow_server.base_url, api_key="k", max_retries=0) as client:
        stream = client.chat.completions.create(**LONG, max_tokens=cap)
        del stream
        gc.collect()
        record, _ = house.one_call()
        assert slow_server.wait_idle(10)
    (item,) = slow_server.bill.items
    assert record.usage.output_tokens == item.output_tokens == cap


def test_an_answer_that_came_whole_is_booked_as_it_came_though_nobody_read_it(
    server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """Its end stands in the socket, so it is no longer being made."""
    house = instrumented()
    request = LONG | {"messages": [{"role": "user", "content": "Say hello in 20 tokens."}]}
    with openai.OpenAI(base_url=server.base_url, api_key="k", max_retries=0) as client:
        stream = client.chat.completions.create(**request)
        assert server.wait_idle()
        del stream
        gc.collect()
        record, _ = house.one_call()
    (item,) = server.bill.items
    assert item.output_tokens <= (record.usage.output_tokens or 0) <= item.output_tokens + 4


def test_a_distant_provider_is_taken_to_go_on_for_a_round_trip() -> None:
    """What no system tells of, and what is far, is never taken to notice at once."""
    here, there = socket.socketpair()  # no TCP: nobody knows its round trip
    with here, there:
        assert connection._on_the_way_s(_Connection(here)) == connection.ON_THE_WAY_S
    assert connection._on_the_way_s(None) == connection.ON_THE_WAY_S


def packed(chunks: list[dict[str, Any]], encoding: str) -> list[bytes]:
    """Each as an event in compressed form, which can be unpacked as soon as it is there."""
    pack = _packer(encoding.lower())
    return [pack(events([chunk], done=False)) for chunk in chunks]


def _packer(encoding: str) -> Callable[[bytes], bytes]:
    if encoding == "br":
        brotli = pytest.importorskip("brotli", reason="httpx2[brotli] is not installed")
        press = brotli.Compressor()
        return lambda data: bytes(press.process(data) + press.flush())
    if encoding == "zstd":
        zstd = pytest.importorskip("backports.zstd", reason="httpx2[zstd] is not installed")
        press = zstd.ZstdCompressor()
        return lambda data: bytes(press.compress(data, press.FLUSH_BLOCK))
    form = zlib.MAX_WBITS | (16 if encoding == "gzip" else 0)
    packing = zlib.compressobj(wbits=form)
    return lambda data: packing.compress(data) + packing.flush(zlib.Z_SYNC_FLUSH)


class _Connection:
    """As httpcore shows one."""

    def __init__(self, own: socket.socket) -> None:
        self._own = own

    def get_extra_info(self, name: str) -> Any:
        return self._own if name == "socket" else None


async def _cut_off(server: OpenAIServer, cut: str) -> None:
    async with openai.AsyncOpenAI(base_url=server.base_url, api_key="k", max_retries=0) as client:
        for number in range(CUTS):
            stream = await client.chat.completions.create(**LONG)
            reading = asyncio.create_task(_read(stream, number + 5 if cut == "left" else 400))
            if cut == "cancelled":
                await asyncio.sleep(0.05 + 0.0037 * number)
                reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reading


async def _read(stream: Any, chunks: int) -> None:
    async with stream:
        async for _ in stream:
            chunks -= 1
            if not chunks:
                break
