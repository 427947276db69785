"""Requests go through an HTTP proxy, as ``HTTP_PROXY`` and ``HTTPS_PROXY`` say."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from threading import Event, Thread
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import openai
import pytest
from lanes import Lane, cancelled_when
from shapes import REQUEST, STREAM

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aden.testing import OpenAIServer
    from house import House


class Proxy:
    """Passes plain requests on to the server, whatever host they are for; opens no tunnel."""

    def __init__(self, server: OpenAIServer) -> None:
        self.asked: list[str] = []
        self.hangs = False
        self.stopping = Event()
        self._server = urlsplit(server.base_url)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = Thread(target=self._serve, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Serve nobody any more."""
        self.stopping.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                line, _ = self._listener.accept()
                Thread(target=self._talk, args=(line,), daemon=True).start()

    def _talk(self, line: socket.socket) -> None:
        with line, line.makefile("rb") as reading:
            head = [reading.readline()]
            while head[-1].strip():
                head.append(reading.readline())
            method, url, _ = head[0].decode().split()
            self.asked.append(f"{method} {url}")
            if method == "CONNECT":
                if self.hangs:
                    self.stopping.wait(10)
                return
            fields = dict(each.decode().lower().split(": ") for each in head[1:-1])
            body = reading.read(int(fields["content-length"]))
            with socket.create_connection((self._server.hostname, self._server.port)) as onward:
                first = f"{method} {urlsplit(url).path} HTTP/1.1\r\n".encode()
                onward.sendall(b"".join([first, *head[1:], body]))
                while data := onward.recv(65536):
                    line.sendall(data)


@pytest.fixture
def proxy(server: OpenAIServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """All requests of clients that are made from now on go through it."""
    proxy = Proxy(server)
    for name in ("HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, proxy.url)
        monkeypatch.setenv(name.lower(), proxy.url)
    for name in ("NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    yield proxy
    proxy.stop()


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_a_request_is_the_provider_s_whose_host_it_names(
    kind: str, proxy: Proxy, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """Its address and its prices, to the nano-dollar."""
    lane = Lane(kind, server, base_url="http://api.openai.com/v1")
    house = instrumented()
    await lane.create(**REQUEST)
    await lane.all(await lane.create(**STREAM))
    await lane.close()
    records = house.settled(2)
    assert proxy.asked == ["POST http://api.openai.com/v1/chat/completions"] * 2
    addresses = [(span.attributes or {}).get("server.address") for span in house.spans]
    assert addresses == ["api.openai.com"] * 2
    assert sum(record.cost for record in records) == server.bill.total_nano_usd > 0


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("hangs", [False, True])
async def test_where_a_proxy_gives_no_tunnel_nothing_has_been_asked(
    hangs: bool, kind: str, proxy: Proxy, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """It hangs up, or does not answer: the provider has not seen the request, in no attempt."""
    proxy.hangs = hangs
    house = instrumented()
    lane = Lane(kind, server, base_url="https://api.openai.com/v1", timeout=0.3, max_retries=1)
    with pytest.raises(openai.APIConnectionError):
        await lane.create(**REQUEST)
    await lane.close()
    record, _ = house.one_call()
    assert proxy.asked == ["CONNECT api.openai.com:443"] * 2
    assert (record.attempts, record.cost, record.usage.estimated) == (2, 0, False)


async def test_who_is_cancelled_while_he_waits_for_a_tunnel_has_asked_nothing(
    proxy: Proxy, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """As the one who waits longer than he wants to."""
    proxy.hangs = True
    house = instrumented()
    lane = Lane("async", server, base_url="https://api.openai.com/v1")
    with pytest.raises(asyncio.CancelledError):
        await cancelled_when(lambda: bool(proxy.asked), lane.create(**REQUEST), after_s=0.1)
    await lane.close()
    record, _ = house.one_call()
    assert (record.cost, record.usage.estimated) == (0, False)
