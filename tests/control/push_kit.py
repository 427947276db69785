"""A control server that pushes: Socket.IO and the HTTP contract behind one port."""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, Self

import socketio
from aiohttp import web

from aden.testing.control_contract import ControlBooks

NAMESPACE = "/v1/control/ws"


class PushingServer:
    """An Aden server of the kind that pushes. Its loop has a thread of its own."""

    def __init__(self, books: ControlBooks, key: str) -> None:
        self.books = books
        self.key = key
        self.connected: list[dict[str, str]] = []
        """The headers of each connection that was let in."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._push = socketio.AsyncServer(async_mode="aiohttp")
        self._push.on("connect", self._connect, namespace=NAMESPACE)

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    @property
    def url(self) -> str:
        """The base URL."""
        return f"http://127.0.0.1:{self.port}"

    def push(self, message: object) -> None:
        """Send a message to everybody who is connected."""
        self._do(self._push.emit("message", message, namespace=NAMESPACE))

    async def _connect(self, sid: str, environ: dict[str, Any], auth: Any) -> None:
        headers = {
            name.lower(): value for name, value in environ["aiohttp.request"].headers.items()
        }
        bearer = headers.get("authorization") == f"Bearer {self.key}"
        if not bearer or auth != {"token": self.key} or "x-sdk-instance-id" not in headers:
            raise socketio.exceptions.ConnectionRefusedError("the token is not valid")
        self.connected.append(headers)

    async def _listen(self) -> None:
        app = web.Application(client_max_size=10_000_000)
        self._push.attach(app)
        app.router.add_route("*", "/{path:.*}", self._http)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def _http(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        reply = self.books.respond(request.method, request.path, headers, await request.read())
        return web.Response(status=reply.status, body=reply.body, headers=dict(reply.headers))

    async def _end(self) -> None:
        await self._push.shutdown()
        await self._runner.cleanup()

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)
