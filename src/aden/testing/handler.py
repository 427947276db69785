"""One connection to the local server: it reads requests, routes them, and writes answers."""

from __future__ import annotations

import json
import re
import socket
import time
import uuid
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import urlsplit

from aden.testing import chat_endpoint, media_endpoints, responses_endpoint, text_endpoints
from aden.testing.bill import as_json, models_json
from aden.testing.form_data import read_form
from aden.testing.generated import Body
from aden.testing.script import Drop, Hang, Status, error_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from aden.testing.generated import Answer
    from aden.testing.openai_server import OpenAIServer, _Listener
    from aden.testing.script import Step

    Serve: TypeAlias = Callable[["Handler", re.Match[str], dict[str, object] | None], None]

_LAST_CHUNK = b"0\r\n\r\n"
_SECRET_HEADERS = ("authorization", "api-key")
_ROOT = r"(?:/v1|/openai/v1|/openai|/openai/deployments/([^/]+))"


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


def _models(handler: Handler, _found: re.Match[str], _body: dict[str, object] | None) -> None:
    handler.send_json(200, models_json())


ROUTES: tuple[tuple[str, re.Pattern[str], Serve], ...] = (
    ("GET", re.compile("/v1/models"), _models),
    ("POST", re.compile(_ROOT + "/chat/completions"), chat_endpoint.serve),
    ("POST", re.compile(_ROOT + "/responses"), responses_endpoint.serve),
    ("GET", re.compile(_ROOT + "/responses/([^/]+)"), responses_endpoint.retrieve),
    ("POST", re.compile(_ROOT + "/responses/([^/]+)/cancel"), responses_endpoint.cancel),
    ("POST", re.compile(_ROOT + "/completions"), text_endpoints.completions),
    ("POST", re.compile(_ROOT + "/embeddings"), text_endpoints.embeddings),
    ("POST", re.compile(_ROOT + "/moderations"), text_endpoints.moderations),
    (
        "POST",
        re.compile(_ROOT + "/images/(?:generations|edits|variations)"),
        media_endpoints.images,
    ),
    ("POST", re.compile(_ROOT + "/audio/speech"), media_endpoints.speech),
    (
        "POST",
        re.compile(_ROOT + "/audio/(?:transcriptions|translations)"),
        media_endpoints.transcripts,
    ),
)
"""(method, path, what serves it); the path's first group is an Azure deployment."""


class Handler(BaseHTTPRequestHandler):
    """One connection, request after request."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Listener
    request_id = ""

    def log_message(self, *_: object) -> None:
        """Say nothing: what came in is in ``requests``."""

    def handle(self) -> None:
        """Serve one connection to its end."""
        with suppress(OSError):  # The client has gone, or the server stops.
            super().handle()

    def do_POST(self) -> None:
        """Serve one request."""
        with self.owner.busy():
            self._route()

    do_GET = do_PUT = do_PATCH = do_DELETE = do_POST  # noqa: N815

    @property
    def owner(self) -> OpenAIServer:
        """The server."""
        return self.server.owner

    def _route(self) -> None:
        self.request_id = f"req_{uuid.uuid4().hex}"
        body = self._read_body()
        path = urlsplit(self.path).path
        for method, pattern, serve in ROUTES:
            if method == self.command and (found := pattern.fullmatch(path)):
                serve(self, found, body)
                return
        if path in self.owner.canned:
            self.send_json(200, self.owner.canned[path])
            return
        unknown = f"Unknown request URL: {self.command} {path}. Please check it for typos."
        self.send_json(404, error_json(404, unknown, "unknown_url"))

    def _read_body(self) -> dict[str, object] | None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        kind = self.headers.get("Content-Type") or ""
        try:
            body: object = read_form(kind, raw) if "multipart" in kind else json.loads(raw)
        except ValueError:
            body = None
        parsed = body if isinstance(body, dict) else None
        headers = {name.lower(): value for name, value in self.headers.items()}
        headers |= {name: "***" for name in _SECRET_HEADERS if name in headers}
        self.owner.seen.append(SeenRequest(self.command, self.path, headers, parsed))
        return parsed

    def next_step(self) -> Step | None:
        """Take the next scripted step; None where it refuses and the refusal is sent."""
        step = self.owner.next_step()
        if not isinstance(step, Status):
            return step
        error = error_json(step.code, step.message, step.code_name)
        self.send_json(step.code, error, **step.headers())
        return None

    def deliver(self, answer: Answer, *, streamed: bool) -> None:
        """Book an answer and send it."""
        if isinstance(answer.step, Hang):
            self.owner.bill.book(answer.item)
            self.rest(answer.step.seconds)
        if streamed:
            self._stream(answer)
        else:
            self._answer(answer)

    def send_stream(self, events: Sequence[Mapping[str, object]]) -> None:
        """Send events that are there already."""
        self._send_head(200, "text/event-stream; charset=utf-8", transfer_encoding="chunked")
        self._send_events(*events, last=True)

    def _answer(self, answer: Answer) -> None:
        """Send a plain answer, which takes as long as a streamed one."""
        item = answer.billed(len(answer.tokens()))
        self.owner.bill.book(item)
        self.rest(self.owner.ttft_s + item.output_tokens * self.owner.interval_s)
        if isinstance(answer.step, Drop):
            self.close_connection = True
        elif answer.fails:
            self._send_whole(*answer.form.whole(answer))
        else:
            with self._booked_whole(answer):
                self._send_whole(*answer.form.whole(answer))

    def _stream(self, answer: Answer) -> None:
        """Send one event for each token, and stop generating when the client has gone."""
        written = 0
        form = answer.form
        interval_s = self.owner.interval_s
        try:
            self.rest(self.owner.ttft_s + answer.item.reasoning_tokens * interval_s)
            self._send_head(200, "text/event-stream; charset=utf-8", transfer_encoding="chunked")
            self._send_events(*form.opening(answer))
            due = time.monotonic()
            for index, position in answer.tokens():
                piece = _chunk(form.piece(answer, index, position))
                self.rest(due - time.monotonic())
                self.wfile.write(piece)  # at once: what is sent to nobody is billed too
                written += 1
                due = max(due + interval_s, time.monotonic())
            self.rest(0)
        finally:
            self.owner.bill.book(answer.billed(written))
        if isinstance(answer.step, Drop):
            self.close_connection = True
        elif answer.fails:
            self._send_events(*form.broken(answer), last=True)
        else:
            with self._booked_whole(answer):
                self._send_events(*form.closing(answer), done=form.done, last=True)

    @contextmanager
    def _booked_whole(self, answer: Answer) -> Iterator[None]:
        """Book the answer as delivered before it is, and take that back if it was not."""
        bill, item = self.owner.bill, answer.billed()
        bill.book(replace(item, completed=True, reported=answer.form.reports(answer)))
        try:
            yield
        except OSError:
            bill.book(item)
            raise

    def rest(self, seconds: float) -> None:
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
        if gone or self.owner.stopping.wait(max(until - time.monotonic(), 0)):
            raise ConnectionAbortedError

    def _send_whole(self, status: int, body: object) -> None:
        if not isinstance(body, Body):
            self.send_json(status, body)
            return
        self._send_head(status, body.kind, content_length=str(len(body.payload)))
        self.wfile.write(body.payload)

    def send_json(self, status: int, body: object, **headers: str) -> None:
        """Send a JSON body."""
        payload = as_json(body).encode()
        self._send_head(status, "application/json", content_length=str(len(payload)), **headers)
        self.wfile.write(payload)

    def _send_events(
        self, *events: Mapping[str, object], done: bytes = b"", last: bool = False
    ) -> None:
        """Send server-sent events as one chunk of the transfer encoding."""
        self.wfile.write(_chunk(events, done) + (_LAST_CHUNK if last else b""))

    def _send_head(self, status: int, kind: str, **headers: str) -> None:
        self.send_response(status)
        headers |= {"content_type": kind, "x_request_id": self.request_id}
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()


def _chunk(events: Sequence[Mapping[str, object]], done: bytes = b"") -> bytes:
    """Return events as one chunk of the transfer encoding."""
    payload = "".join(map(_server_sent, events)).encode() + done
    return b"%x\r\n%s\r\n" % (len(payload), payload) if payload else b""


def _server_sent(event: Mapping[str, object]) -> str:
    """Return an event as it goes over the wire; one that has a type is sent under its name."""
    name = f"event: {event['type']}\n" if "type" in event else ""
    return f"{name}data: {as_json(event)}\n\n"
