"""A local Aden control server: the contract over real HTTP, and ways for it to fail."""

import contextlib
import socket
import threading
from collections import deque
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from aden.testing.control_contract import ControlBooks, Reply

HANG = Reply(0)
"""The connection stays open, and nothing comes."""
DROP = Reply(-1)
"""The connection is closed without an answer."""


class ControlServer:
    """An Aden control server on loopback for tests.

    Args:
        policy: The default policy's document.
        key: The bearer token that is let in.
        books: Instead of both, what stands behind it; so a server can come back after a pause.
        port: Where it listens; 0: anywhere.
        **more: Of `ControlBooks`.
    """

    def __init__(
        self,
        policy: Mapping[str, object] | None = None,
        key: str = "aden-key",
        *,
        books: ControlBooks | None = None,
        port: int = 0,
        **more: Any,
    ) -> None:
        self.key = key
        self.books = books or ControlBooks(key, policy or {}, **more)
        self.requests: list[tuple[str, str, Mapping[str, str]]] = []
        """Method, path and headers of every request."""
        self._instead: dict[str, deque[Reply]] = {}
        self._always: dict[str, Reply] = {}
        self._stopping = threading.Event()
        self._port = port

    def __enter__(self) -> Self:
        handler = type("_BoundHandler", (_Handler,), {"control": self})
        self._listener = _Listener(("127.0.0.1", self._port), handler)
        self._port = self._listener.server_address[1]
        self._thread = threading.Thread(
            target=self._listener.serve_forever, args=(0.02,), daemon=True
        )
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._listener.shutdown()
        self._listener.server_close()
        self._listener.hang_up()
        self._thread.join(5)

    @property
    def url(self) -> str:
        """The base URL."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._port

    def next(self, path: str, *replies: Reply) -> None:
        """Answer the next requests to *path* so instead."""
        self._instead.setdefault(path, deque()).extend(replies)

    def always(self, path: str, reply: Reply | None) -> None:
        """Answer all requests to *path* so instead; None: as usual again."""
        if reply is None:
            self._always.pop(path, None)
        else:
            self._always[path] = reply

    def asked(self, path: str) -> int:
        """How many requests to *path* there were."""
        return sum(each == path for _, each, _ in self.requests)

    def reply_to(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """The answer to a request."""
        self.requests.append((method, path, headers))
        if waiting := self._instead.get(path):
            return waiting.popleft()
        return self._always.get(path) or self.books.respond(method, path, headers, body)

    def wait_until_stopped(self, timeout_s: float) -> None:
        """What a request that hangs does."""
        self._stopping.wait(timeout_s)


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._open: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Note who is connected: connections are kept open between requests."""
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """The connection has ended."""
        self._open.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """End every connection, as a process that ends does."""
        for each in list(self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    control: ControlServer

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(length) if length else b""
        reply = self.control.reply_to(self.command, self.path, headers, body)
        if reply in (HANG, DROP):
            if reply == HANG:
                self.control.wait_until_stopped(60)
            self.close_connection = True
            return
        self.send_response_only(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.status != 304:
            self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)

    do_GET = do_POST = do_PUT = _answer  # noqa: N815 - as http.server names them

    def log_message(self, *_: object) -> None:
        """Tests read `requests` instead."""
