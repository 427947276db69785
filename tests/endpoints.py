"""An endpoint that answers as it is told: for what becomes of telemetry when it goes wrong."""

import socket
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

Answer = Callable[[str, Mapping[str, str]], tuple[int, Mapping[str, str], bytes]]
"""(path, headers of the request) → status, headers, body."""


def always(status: int, body: bytes = b"", **headers: str) -> Answer:
    """The same answer to everything; ``content_type="text/html"`` names a header."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _path, _headers: (status, named, body)


class Endpoint:
    """Listens on a free port of 127.0.0.1 and notes what was asked."""

    def __init__(self, answer: Answer, host: str = "127.0.0.1") -> None:
        self.answer = answer
        self.seen: list[tuple[str, Mapping[str, str]]] = []
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                endpoint.seen.append((self.path, headers))
                status, told, body = endpoint.answer(self.path, headers)
                self.send_response(status)
                for name, value in told.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        kind = _OverIPv6 if ":" in host else ThreadingHTTPServer
        self._server = kind((host, 0), Handler)
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        """Its base URL."""
        host = self._server.server_address[0]
        shown = f"[{host!s}]" if ":" in str(host) else host
        return f"http://{shown!s}:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _OverIPv6(ThreadingHTTPServer):
    address_family = socket.AF_INET6


class Mute:
    """Accepts connections and never answers."""

    def __enter__(self) -> str:
        self._socket = socket.create_server(("127.0.0.1", 0))
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def __exit__(self, *_: object) -> None:
        self._socket.close()


def nobody() -> str:
    """The URL of a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"
