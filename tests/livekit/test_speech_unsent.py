"""What a speech provider cannot have seen is not billed, by whichever client it was sent."""

import asyncio
import socket
from collections.abc import Awaitable, Callable

import aiohttp
import httpx2
import pytest

from aden.instrumentation.livekit.speech import never_billed


async def _by_aiohttp(port: int) -> None:
    limit = aiohttp.ClientTimeout(total=0.2)
    async with aiohttp.ClientSession(timeout=limit) as client:
        await client.post(f"https://127.0.0.1:{port}/v1/speak")


async def _by_a_websocket(port: int) -> None:
    async with aiohttp.ClientSession() as client, asyncio.timeout(0.2):
        await client.ws_connect(f"wss://127.0.0.1:{port}/v1/listen")


async def _by_httpx(port: int) -> None:
    async with httpx2.AsyncClient(timeout=0.2) as client:
        await client.post(f"https://127.0.0.1:{port}/v1/speak")


async def _of_an_odd_scheme(_port: int) -> None:
    async with httpx2.AsyncClient() as client:
        await client.post("gopher://127.0.0.1/v1/speak")


async def _through_a_dead_proxy(port: int) -> None:
    async with httpx2.AsyncClient(proxy=f"http://127.0.0.1:{port}", timeout=0.2) as client:
        await client.post("https://127.0.0.1:1/v1/speak")


@pytest.mark.parametrize(
    "send", [_by_aiohttp, _by_a_websocket, _by_httpx, _of_an_odd_scheme, _through_a_dead_proxy]
)
async def test_a_request_that_gets_no_connection_costs_nothing(
    send: Callable[[int], Awaitable[None]],
) -> None:
    """The other side takes the connection and says nothing of what TLS or a tunnel needs."""
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(Exception) as failed,  # noqa: PT011 - each client has its own
    ):
        await send(silent.getsockname()[1])
    assert never_billed(failed.value), failed.value


async def test_a_request_that_was_sent_and_is_not_answered_may_cost_something() -> None:
    """It may be spoken to its end."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1/speak"
        async with httpx2.AsyncClient(timeout=0.2) as client:
            with pytest.raises(httpx2.ReadTimeout) as failed:
                await client.post(url)
    assert not never_billed(failed.value)
