"""A local server that speaks OpenAI's chat completions and keeps an exact bill of it.

Rule 1: the server charges for what it generated, as a provider does: who hangs up early, times
out or throws the answer away pays for it all the same.

Rule 2: a request is booked before the last byte of its answer is written, so that whoever has
read an answer to its end finds it in the bill.
"""

from __future__ import annotations

import json
import re
import socket
import time
import uuid
from collections import deque
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from threading import Condition, Event, Thread, current_thread
from typing import TYPE_CHECKING, Self
from urllib.parse import unquote, urlsplit

from aden.testing.bill import Bill, PromptCache, as_json, models_json
from aden.testing.script import (
    Answer,
    Drop,
    ErrorEvent,
    Hang,
    Normal,
    Status,
    answer_to,
    error_json,
    problem,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aden.testing.script import Step

_CHAT_PATH = re.compile(r"(?:/v1|/openai/v1|/openai/deployments/([^/]+))/chat/completions")
_LAST_CHUNK = b"0\r\n\r\n"
_DONE = b"e\r\ndata: [DONE]\n\n\r\n" + _LAST_CHUNK
_SECRET_HEADERS = ("authorization", "api-key")


@dataclass(frozen=True, slots=True)
class SeenRequest:
    """A request as it came in."""

    method: str
    """The HTTP method."""
    path: str
    """The path with its query."""
    headers: Mapping[str, str]
    """The headers, their names in lower case, their secrets masked."""
    body: Mapping[str, object] | None
    """The parsed JSON object; None if there was none."""


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
        self._ttft_s = ttft_ms / 1000
        self._interval_s = token_interval_ms / 1000
        self._cache = PromptCache()
        self._steps: deque[Step] = deque()
        self._seen: deque[SeenRequest] = deque()
        self._stopping = Event()
        self._idle = Condition()
        self._serving = 0
        self._listener: _Listener | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> Self:
        """Listen on a free port of 127.0.0.1 and return the server."""
        if self._listener is None:
            self._stopping.clear()
            self._listener = _Listener(self)
        return self

    def stop(self) -> None:
        """Cut every open connection and end every thread; what was generated stays billed."""
        listener, self._listener = self._listener, None
        if listener is not None:
            self._stopping.set()
            listener.stop()

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
    def requests(self) -> tuple[SeenRequest, ...]:
        """Every request so far, in the order of arrival."""
        return tuple(self._seen.copy())

    def script(self, *steps: Step) -> None:
        """Queue what happens to the next chat completions requests, one step for each."""
        self._steps.extend(steps)

    def wait_idle(self, timeout_s: float = 2.0) -> bool:
        """Wait until no request is being served, as after a client has hung up.

        Returns:
            Whether that was so within *timeout_s* seconds.
        """
        with self._idle:
            return self._idle.wait_for(lambda: self._serving == 0, timeout_s)

    def _next_step(self) -> Step:
        try:
            return self._steps.popleft()
        except IndexError:
            return Normal()

    @contextmanager
    def _busy(self) -> Iterator[None]:
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
        super().__init__(("127.0.0.1", 0), _Handler)
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


class _Handler(BaseHTTPRequestHandler):
    """One connection, request after request."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Listener
    request_id = ""

    def log_message(self, *_: object) -> None:
        """Say nothing: what came in is in ``requests``."""

    def handle(self) -> None:
        with suppress(OSError):  # The client has gone, or the server stops.
            super().handle()

    def do_POST(self) -> None:
        with self.server.owner._busy():
            self._route()

    do_GET = do_PUT = do_PATCH = do_DELETE = do_POST  # noqa: N815

    def _route(self) -> None:
        self.request_id = f"req_{uuid.uuid4().hex}"
        body = self._read_body()
        path = urlsplit(self.path).path
        chat = _CHAT_PATH.fullmatch(path)
        if self.command == "GET" and path == "/v1/models":
            self._send_json(200, models_json())
        elif self.command == "POST" and chat:
            deployment = {"model": unquote(chat[1])} if chat[1] else {}
            self._chat(None if body is None else deployment | body)
        else:
            unknown = f"Unknown request URL: {self.command} {path}. Please check it for typos."
            self._send_json(404, error_json(404, unknown, "unknown_url"))

    def _read_body(self) -> dict[str, object] | None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            body: object = json.loads(raw)
        except ValueError:
            body = None
        parsed = body if isinstance(body, dict) else None
        headers = {name.lower(): value for name, value in self.headers.items()}
        headers |= {name: "***" for name in _SECRET_HEADERS if name in headers}
        self.server.owner._seen.append(SeenRequest(self.command, self.path, headers, parsed))
        return parsed

    def _chat(self, body: dict[str, object] | None) -> None:
        wrong = problem(body)
        if body is None or wrong:
            self._send_json(400, wrong)
            return
        step = self.server.owner._next_step()
        if isinstance(step, Status):
            error = error_json(step.code, step.message, step.code_name)
            self._send_json(step.code, error, **step.headers())
            return
        attempt = self.headers.get("x-stainless-retry-count")
        answer = answer_to(body, step, self.request_id, attempt, self.server.owner._cache)
        if isinstance(step, Hang):
            self.server.owner.bill.book(answer.item)
            self._rest(step.seconds)
        if body.get("stream"):
            self._stream(answer)
        else:
            self._answer(answer)

    def _answer(self, answer: Answer) -> None:
        """Send a plain answer, which takes as long as a streamed one."""
        item = answer.billed(len(answer.tokens()))
        self.server.owner.bill.book(item)
        self._rest(self.server.owner._ttft_s + item.output_tokens * self.server.owner._interval_s)
        if isinstance(answer.step, Drop):
            self.close_connection = True
        elif isinstance(answer.step, ErrorEvent):
            self._send_json(500, error_json(500, answer.step.message))
        else:
            with self._booked_whole(answer):
                self._send_json(200, answer.completion())

    def _stream(self, answer: Answer) -> None:
        """Send one delta for each token, and stop generating when the client has gone."""
        written = 0
        interval_s = self.server.owner._interval_s
        try:
            self._rest(self.server.owner._ttft_s + answer.item.reasoning_tokens * interval_s)
            self._send_head(200, "text/event-stream; charset=utf-8", transfer_encoding="chunked")
            self._send_events(*(answer.chunk(i, c.opening()) for i, c in enumerate(answer.choices)))
            due = time.monotonic()
            for index, position in answer.tokens():
                self._rest(due - time.monotonic())
                self._send_events(answer.chunk(index, answer.choices[index].delta(position)))
                written += 1
                due = max(due + interval_s, time.monotonic())
            self._rest(0)
        finally:
            self.server.owner.bill.book(answer.billed(written))
        if isinstance(answer.step, Drop):
            self.close_connection = True
        elif isinstance(answer.step, ErrorEvent):
            self._send_events(error_json(500, answer.step.message), end=_LAST_CHUNK)
        else:
            with self._booked_whole(answer):
                self._send_events(*answer.last_chunks(), end=_DONE)

    @contextmanager
    def _booked_whole(self, answer: Answer) -> Iterator[None]:
        """Book the answer as delivered before it is, and take that back if it was not."""
        bill, item = self.server.owner.bill, answer.billed()
        bill.book(replace(item, completed=True, reported=answer.usage is not None))
        try:
            yield
        except OSError:
            bill.book(item)
            raise

    def _rest(self, seconds: float) -> None:
        """Wait, but no longer than the client does.

        Raises:
            ConnectionAbortedError: The client has closed the connection, or the server stops.
        """
        until = time.monotonic() + seconds
        self.connection.settimeout(max(seconds, 0))
        try:
            gone = self.connection.recv(1, socket.MSG_PEEK) == b""
        except (BlockingIOError, TimeoutError):
            return
        finally:
            self.connection.settimeout(None)
        # Bytes of a next request are no reason to hurry.
        if gone or self.server.owner._stopping.wait(max(until - time.monotonic(), 0)):
            raise ConnectionAbortedError

    def _send_json(self, status: int, body: object, **headers: str) -> None:
        payload = as_json(body).encode()
        self._send_head(status, "application/json", content_length=str(len(payload)), **headers)
        self.wfile.write(payload)

    def _send_events(self, *events: object, end: bytes = b"") -> None:
        """Send server-sent events as one chunk of the transfer encoding."""
        payload = "".join(f"data: {as_json(event)}\n\n" for event in events).encode()
        self.wfile.write(b"%x\r\n%s\r\n%s" % (len(payload), payload, end))

    def _send_head(self, status: int, kind: str, **headers: str) -> None:
        self.send_response(status)
        headers |= {"content_type": kind, "x_request_id": self.request_id}
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
