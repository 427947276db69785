"""How the smaller endpoints and the WebSockets end, each way written once."""

from __future__ import annotations

import asyncio
import gc
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from endpoint_shapes import ROWS, Row
from lanes import cancelled_when
from shapes import seen
from socket_talk import API, OVER, converse, translate, until

from aden.testing import Drop, ErrorEvent, Fail, Hang, Status

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from lanes import Lane

    from aden.testing.script import Step

CANCELLED = "asyncio.exceptions.CancelledError"
UNHEARD_MS = 60
"""Between two tokens of a stream that is left: long enough for a busy server to notice that."""


@dataclass(frozen=True)
class Ending:
    """A request, and how it ends."""

    name: str
    use: Callable[[Lane], Awaitable[Any]]
    steps: tuple[Step, ...] = ()
    only_async: bool = False
    timeout_s: float = 10.0
    interval_ms: float = 0
    """Between two tokens of the server."""
    socket: bool = False


def _made(lane: Lane, row: Row) -> Any:
    *path, name = row.method.split(".")
    resource = lane.client
    for each in path:
        resource = getattr(resource, each)
    return getattr(resource, name)(**row.request())


def _use(row: Row) -> Callable[[Lane], Awaitable[Any]]:
    return lambda lane: row.use(lane, "create")


def _cancelled(row: Row) -> Callable[[Lane], Awaitable[Any]]:
    async def use(lane: Lane) -> Any:
        before = len(lane.server.requests)
        sent = row.use(lane, "create")
        wait_s = 0.1 if row.stream else 0  # for as long it may have been generated
        return await cancelled_when(
            lambda: len(lane.server.requests) > before, sent, after_s=wait_s
        )

    return use


def _closed(row: Row) -> Callable[[Lane], Awaitable[Any]]:
    async def use(lane: Lane) -> Any:
        stream = await lane.get(_made(lane, row))
        first = await lane.take(stream, 1)
        await lane.get(stream.close())
        return type(stream), seen(first), stream.response.is_closed

    return use


def _dropped(row: Row) -> Callable[[Lane], Awaitable[Any]]:
    async def use(lane: Lane) -> Any:
        stream = await lane.get(_made(lane, row))
        first = seen(await lane.take(stream, 1))
        del stream
        gc.collect()
        await asyncio.sleep(0)
        return first

    return use


def _raises(row: Row) -> Callable[[Lane], Awaitable[Any]]:
    async def use(lane: Lane) -> Any:
        async with lane.within(await lane.get(_made(lane, row))) as stream:
            await lane.take(stream, 1)
            raise LookupError("the consumer's own")

    return use


def _cancelled_within(row: Row) -> Callable[[Lane], Awaitable[Any]]:
    async def use(lane: Lane) -> Any:
        chunks: list[Any] = []

        async def work() -> None:
            async for chunk in await _made(lane, row):
                chunks.append(chunk)

        return await cancelled_when(lambda: bool(chunks), work())

    return use


def _of(row: Row) -> tuple[Ending, ...]:
    """How any request can end badly, and a stream besides."""
    timed_out = Ending(f"{row.name}: timeout", _use(row), (Hang(2),), timeout_s=0.15)
    every = (
        Ending(f"{row.name}: 429", _use(row), (Status(429),)),
        timed_out,
        Ending(f"{row.name}: cut", _use(row), (Drop(0),)),
        Ending(f"{row.name}: cancelled", _cancelled(row), (Hang(2),), only_async=True),
    )
    if not row.stream:
        return every
    return (
        *every,
        Ending(f"{row.name}: closed early", _closed(row), interval_ms=UNHEARD_MS),
        Ending(f"{row.name}: dropped", _dropped(row), interval_ms=UNHEARD_MS),
        Ending(f"{row.name}: consumer raises", _raises(row), interval_ms=UNHEARD_MS),
        Ending(f"{row.name}: cut in mid-stream", _use(row), (Drop(1),)),
        Ending(f"{row.name}: error event", _use(row), (ErrorEvent(1),)),
        Ending(
            f"{row.name}: cancelled in mid-stream",
            _cancelled_within(row),
            interval_ms=30,
            only_async=True,
        ),
    )


_EACH = (
    "embeddings",
    "completions",
    "completions, streamed",
    "images",
    "images, streamed",
    "images, edited",
    "speech by the character",
    "transcript by the second",
    "transcript, streamed",
    "translation",
)
"""One row of every path, and of every kind of stream."""


def _on_a_socket(api: str, words: int | None = None, how: str = "") -> Any:
    connect, ask = API[api]

    async def use(lane: Lane) -> Any:
        if how == "dropped":
            connection = await lane.get(connect(lane).enter())
            said = _shown(await ask(lane, connection, words))
            socket = connection._connection
            del connection
            gc.collect()
            await lane.get(socket.close())
            return said
        async with lane.within(connect(lane)) as connection:
            if how == "cancelled":
                return await _given_up(lane, connection, ask)
            said = _shown(await ask(lane, connection, words))
            if how == "raises":
                raise LookupError("the consumer's own")
            return type(connection), said

    return use


async def _given_up(lane: Lane, connection: Any, ask: Any) -> Any:
    """Its reader is cancelled at the third word, and the connection left."""
    words: list[Any] = []

    async def work() -> None:
        words.extend(await ask(lane, connection, 3))
        while (await connection.recv()).type not in OVER:
            pass

    return await cancelled_when(lambda: bool(words), work())


def _shown(events: list[Any]) -> Any:
    """Events without what is never the same."""
    return [(type(event), event.type, getattr(event, "delta", None)) for event in events]


def _of_socket(api: str) -> tuple[Ending, ...]:
    first = f"{api} on a WebSocket"
    slow: dict[str, Any] = {"socket": True, "interval_ms": 20}
    bad = Fail(3, "server_error")
    return (
        Ending(first, _on_a_socket(api), socket=True),
        Ending(f"{first}: left", _on_a_socket(api, 3), **slow),
        Ending(f"{first}: dropped", _on_a_socket(api, 3, "dropped"), **slow),
        Ending(f"{first}: consumer raises", _on_a_socket(api, 3, "raises"), **slow),
        Ending(f"{first}: cut", _on_a_socket(api), (Drop(3),), socket=True),
        Ending(f"{first}: failed", _on_a_socket(api), (bad,), socket=True),
        Ending(f"{first}: refused by the provider", _on_a_socket(api), (Status(400),), socket=True),
        Ending(f"{first}: cancelled", _on_a_socket(api, 3, "cancelled"), only_async=True, **slow),
    )


async def live_left(lane: Lane) -> Any:
    """A live session without its end."""
    async with lane.within(lane.client.live.connect()) as connection:
        await lane.get(connection.session.start(session={"model": "gpt-live-1"}))
        return [type(each) for each in await until(lane, connection, "session.started")]


ENDINGS = (
    *(ending for row in ROWS if row.name in _EACH for ending in _of(row)),
    *(ending for api in ("responses", "realtime") for ending in _of_socket(api)),
    Ending("live session", converse, socket=True),
    Ending("live session: left", live_left, socket=True),
    Ending("realtime translation", translate, socket=True),
)
"""Every ending that the tables of shapes do not have."""
UNNOTICED = tuple(
    each.name
    for each in ENDINGS
    if (each.socket and each.interval_ms) or each.name.endswith(": dropped")
)
"""When their server notices that nobody listens is the machine's matter."""
