"""Who is cancelled before his request could leave has asked nothing, and pays nothing."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

import httpx2
import openai
import pytest
from lanes import Lane, cancelled_when
from shapes import REQUEST

from aden.testing import Hang

if TYPE_CHECKING:
    from collections.abc import Callable

    from aden.testing import OpenAIServer
    from house import House

CLIENTS: dict[str, Callable[..., Any]] = {
    "httpx": httpx2.AsyncClient,
    "aiohttp": openai.DefaultAioHttpClient,
}


@pytest.mark.parametrize("client", CLIENTS)
async def test_while_its_connection_is_made(
    client: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """The other side takes the connection, and does not say what TLS needs."""
    house = instrumented()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"https://127.0.0.1:{silent.getsockname()[1]}/v1"
        lane = Lane("async", server, base_url=address, http_client=CLIENTS[client]())
        with pytest.raises(asyncio.CancelledError):
            await cancelled_when(lambda: True, lane.create(**REQUEST), after_s=0.3)
        await lane.close()
    record, _ = house.one_call()
    assert (record.cost, record.usage.estimated) == (0, False)
    assert record.error_type == "CancelledError"


@pytest.mark.parametrize("client", CLIENTS)
async def test_while_all_connections_are_in_use(
    client: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """It waits for another request, which is booked as one that was sent."""
    server.script(Hang(1))
    limits = httpx2.Limits(max_connections=1)
    lane = Lane("async", server, http_client=CLIENTS[client](limits=limits))
    house = instrumented()
    first = asyncio.ensure_future(lane.create(**REQUEST))
    async with asyncio.timeout(5):
        while not server.requests:
            await asyncio.sleep(0.01)
    with pytest.raises(asyncio.CancelledError):
        await cancelled_when(lambda: True, lane.create(**REQUEST), after_s=0.1)
    first.cancel()
    await asyncio.wait([first])
    await lane.close()
    waited, sent = house.settled(2)
    assert len(server.requests) == 1
    assert (waited.cost, waited.usage.estimated) == (0, False)
    assert sent.usage.estimated
    assert sent.cost > 0
