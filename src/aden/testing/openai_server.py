"""A local server that speaks OpenAI's API and keeps an exact bill of it.

Rule 1: the server charges for what it generated, as a provider does: who hangs up early, times
out or throws the answer away pays for it all the same.

Rule 2: a request is booked before the last byte of its answer is written, so that whoever has
read an answer to its end finds it in the bill.
"""

from __future__ import annotations

import socket
import time
from collections import deque
from contextlib import contextmanager, suppress
from http.server import ThreadingHTTPServer
from socketserver import TCPServer
from threading import Condition, Event, Thread, current_thread
from typing import TYPE_CHECKING, Self

from aden.testing.bill import Bill
from aden.testing.handler import Handler
from aden.testing.prompt_cache import PromptCache
from aden.testing.script import Normal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aden.testing.handler import SeenRequest
    from aden.testing.live import Timed
    from aden.testing.responses_endpoint import Stored
    from aden.testing.script import Step
    from aden.testing.sockets import Sockets


class OpenAIServer:
    """A local, OpenAI-compatible server for tests: no key, no network, no cost, an exact bill.

    The last user message decides how long an answer is: ``in one sentence`` (about 25 tokens),
    ``in detail`` (about 400), ``in 120 tokens`` (exactly so), otherwise about 60; ``call the
    tool`` gets a call of the request's first tool.

    Args:
        ttft_ms: Time to the first token, in milliseconds.
        token_interval_ms: Time between two tokens, in milliseconds. A plain answer takes as long
            as a streamed one.
    """

    def __init__(self, *, ttft_ms: float = 30, token_interval_ms: float = 2) -> None:
        self.bill = Bill()
        self.ttft_s = ttft_ms / 1000
        self.interval_s = token_interval_ms / 1000
        self.cache = PromptCache()
        self.stored: dict[str, Stored] = {}
        self.sessions: dict[str, Timed] = {}
        self._steps: deque[Step] = deque()
        self.canned: dict[str, object] = {}
        self.seen: deque[SeenRequest] = deque()
        self.stopping = Event()
        self._idle = Condition()
        self._serving = 0
        self._listener: _Listener | None = None
        self._sockets: Sockets | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> Self:
        """Listen on a free port of 127.0.0.1 and return the server."""
        if self._listener is None:
            self.stopping.clear()
            self._listener = _Listener(self)
        return self

    def stop(self) -> None:
        """Cut every open connection and end every thread; what was generated stays billed."""
        listener, self._listener = self._listener, None
        if listener is not None:
            self.stopping.set()
            listener.stop()
        sockets, self._sockets = self._sockets, None
        if sockets is not None:
            sockets.stop()

    @property
    def azure_endpoint(self) -> str:
        """The server's root, as ``AzureOpenAI(azure_endpoint=…)`` takes it."""
        if self._listener is None:
            msg = "the server is not running: use it as a context manager or call start()"
            raise RuntimeError(msg)
        return f"http://127.0.0.1:{self._listener.server_port}"

    @property
    def base_url(self) -> str:
        """The API's root, as ``OpenAI(base_url=…)`` takes it."""
        return f"{self.azure_endpoint}/v1"

    @property
    def websocket_base_url(self) -> str:
        """The root of the WebSockets, as ``OpenAI(websocket_base_url=…)`` takes it.

        They are served from its first use on; the package ``websockets`` has to be installed.
        """
        if self._sockets is None:
            from aden.testing.sockets import Sockets

            self._sockets = Sockets(self)
        return f"ws://127.0.0.1:{self._sockets.port}/v1"

    @property
    def requests(self) -> tuple[SeenRequest, ...]:
        """Every request so far, in the order of arrival."""
        return tuple(self.seen.copy())

    def script(self, *steps: Step) -> None:
        """Queue what happens to the next billing requests, one step for each."""
        self._steps.extend(steps)

    def serve(self, path: str, answer: object) -> None:
        """Answer requests to a *path* of no route, such as ``/v1/rerank``, with JSON, unbilled."""
        self.canned[path] = answer

    def wait_idle(self, timeout_s: float = 2.0) -> bool:
        """Wait until no request is being served, as after a client has hung up.

        Returns:
            Whether that was so within *timeout_s* seconds.
        """
        with self._idle:
            return self._idle.wait_for(lambda: self._serving == 0, timeout_s)

    def next_step(self) -> Step:
        """Take the next scripted step."""
        try:
            return self._steps.popleft()
        except IndexError:
            return Normal()

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Count a request as being served."""
        with self._idle:
            self._serving += 1
        try:
            yield
        finally:
            with self._idle:
                self._serving -= 1
                self._idle.notify_all()


class _Listener(ThreadingHTTPServer):
    """The listening socket, its thread, and one daemon thread for each connection."""

    request_queue_size = 128

    def __init__(self, owner: OpenAIServer) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.owner = owner
        self._open: dict[Thread, socket.socket] = {}
        self._thread = Thread(target=self.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def server_bind(self) -> None:
        # HTTPServer's own asks the resolver for the host's full name, which can take seconds.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]

    def process_request(self, request: object, client_address: object) -> None:
        assert isinstance(request, socket.socket)
        thread = Thread(target=self._converse, args=(request, client_address), daemon=True)
        self._open[thread] = request
        thread.start()

    def _converse(self, request: socket.socket, client_address: object) -> None:
        try:
            self.process_request_thread(request, client_address)
        finally:
            self._open.pop(current_thread(), None)

    def stop(self) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()
        threads = list(self._open.copy().items())
        for _, connection in threads:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        deadline = time.monotonic() + 0.9
        for thread, _ in threads:
            thread.join(max(deadline - time.monotonic(), 0))
