"""A server that answers every request with the same bytes, whatever they are."""

from __future__ import annotations

import base64
import json
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Sequence

EVENTS = "text/event-stream"
JSON = "application/json"


@dataclass(frozen=True)
class Body:
    """What is answered."""

    pieces: tuple[bytes, ...]
    """Sent one after the other; together the body."""
    kind: str = JSON
    """Its content type."""
    promised: int | None = None
    """The length that is promised; None where the connection's end is the body's."""
    encoding: str | None = None
    """Its content encoding, which the pieces have already."""
    chunked: bool = False
    """Whether each piece is a chunk of the transfer encoding, and no end is promised."""
    every_s: float = 0
    """Seconds before each piece."""

    @classmethod
    def of(cls, content: bytes, kind: str = JSON, size: int = 1 << 16) -> Self:
        """A body in pieces of *size* bytes."""
        cut = tuple(content[at : at + size] for at in range(0, len(content), size))
        return cls(cut or (b"",), kind)

    @classmethod
    def json(cls, value: Any) -> Self:
        """*value* as JSON."""
        return cls.of(json.dumps(value).encode())

    @classmethod
    def events(cls, *values: Any, done: bool = True) -> Self:
        """Each of *values* as an event; bytes stand for themselves."""
        return cls.of(events(values, done=done), EVENTS)


def events(values: Sequence[Any], *, done: bool = True) -> bytes:
    """A stream's body."""
    lines = [
        each if isinstance(each, bytes) else b"data: " + json.dumps(each).encode() + b"\n\n"
        for each in values
    ]
    return b"".join([*lines, b"data: [DONE]\n\n" if done else b""])


class WireServer:
    """Serves `body`, and keeps what was asked."""

    def __init__(self) -> None:
        self.body = Body((b"{}",))
        self.asked: list[Any] = []
        self.sent = 0
        """Pieces, of all answers."""

    def __enter__(self) -> Self:
        self._listener = _Listener(("127.0.0.1", 0), _Handler)
        self._listener.wire = self
        self._thread = Thread(target=self._listener.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown()
        self._thread.join()
        self._listener.server_close()

    @property
    def base_url(self) -> str:
        """The API's root, as ``OpenAI(base_url=…)`` takes it."""
        return f"http://127.0.0.1:{self._listener.server_address[1]}/v1"


class _Listener(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True
    wire: WireServer


class _Handler(BaseHTTPRequestHandler):
    server: _Listener
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        """Answer one request."""
        with suppress(OSError):
            sent = self.rfile.read(int(self.headers.get("content-length") or 0))
            wire, body = self.server.wire, self.server.wire.body
            try:
                wire.asked.append(json.loads(sent))
            except ValueError:
                wire.asked.append(sent)
            self.close_connection = True
            self.send_response(200)
            self.send_header("content-type", body.kind)
            self.send_header("connection", "close")
            if body.promised is not None:
                self.send_header("content-length", str(body.promised))
            if body.encoding is not None:
                self.send_header("content-encoding", body.encoding)
            if body.chunked:
                self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            for piece in body.pieces:
                time.sleep(body.every_s)
                framed = b"%x\r\n%s\r\n" % (len(piece), piece) if body.chunked else piece
                self.wfile.write(framed)
                wire.sent += 1


def chunk_of(content: str) -> dict[str, Any]:
    """A piece of an answer, as OpenAI sends it."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "gpt-4o-2024-08-06",
        "choices": [{"index": 0, "delta": {"content": content}, "finish_reason": None}],
        "obfuscation": base64.b64encode(os.urandom(6)).decode(),
    }
