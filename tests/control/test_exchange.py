"""An exchange ends in time, whatever is at the other end, and shows the key to nobody else."""

import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from control_kit import KEY, document

from aden.control.exchange import Exchange, NotNowError
from aden.control.server import Server
from aden.testing import ControlServer

OPENSSL = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2")
POLICY = "/v1/control/policy"
INSTANCE = "9f3f7c1e-58f8-4f6a-9a3e-0a8b0a6b7c11"


def ask(url: str, within_s: float = 10, most: int = 1_000_000) -> int:
    """The status of the policy's answer."""
    server = Server.at(url, KEY)
    exchange = Exchange(server)
    try:
        headers = server.headers(INSTANCE)
        return exchange.ask("GET", POLICY, headers, most=most, within_s=within_s).status
    finally:
        exchange.close()


@contextmanager
def listening(serve: Callable[[socket.socket], object]) -> Iterator[int]:
    """A port at which each connection is given to *serve*, on a thread of its own."""
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=handle, args=(connection,), daemon=True).start()

    def handle(connection: socket.socket) -> None:
        with suppress(OSError), connection:
            serve(connection)

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def drip(head: bytes) -> Callable[[socket.socket], None]:
    """Send *head*, then a byte ten times a second for half a minute."""

    def serve(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(head)
        for _ in range(300):
            connection.sendall(b"x")
            time.sleep(0.1)

    return serve


@pytest.mark.parametrize(
    "head",
    [b"", b"HTTP/1.1 200 OK\r\nX-Long: ", b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"],
    ids=["status", "header", "body"],
)
def test_a_server_that_sends_a_byte_at_a_time_is_given_up_on(head: bytes) -> None:
    """Each read succeeds, but all of it together takes too long."""
    with listening(drip(head)) as port:
        begun = time.monotonic()
        with pytest.raises(NotNowError, match="no answer within 1 s"):
            ask(f"http://127.0.0.1:{port}", within_s=1)
        assert time.monotonic() - begun < 6


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 999999 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n" + b"x" * 2_000_000,
    ],
    ids=["nothing", "no http", "status", "headers", "chunk", "size"],
)
def test_what_is_no_answer_is_said_in_words(answer: bytes) -> None:
    """None of them has the key."""

    def serve(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(answer)

    with listening(serve) as port:
        with pytest.raises(NotNowError) as error:
            ask(f"http://127.0.0.1:{port}")
        assert str(error.value)
        assert KEY not in str(error.value)


def test_a_kept_connection_that_has_ended_is_made_again() -> None:
    """Servers end idle ones; that is no failure."""
    with ControlServer(document()) as first:
        server = Server.at(first.url, KEY)
        exchange = Exchange(server)
        headers = server.headers(INSTANCE)
        assert exchange.ask("GET", POLICY, headers).status == 200
    with ControlServer(document(), port=first.port):
        assert exchange.ask("GET", POLICY, headers).status == 200
    exchange.close()


@pytest.fixture
def certified(tmp_path: Path) -> Path:
    """A certificate of 127.0.0.1 that nobody has signed, and its key in the same file."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    key, certificate, both = (tmp_path / name for name in ("key.pem", "cert.pem", "both.pem"))
    named = ("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1")
    files = ("-keyout", str(key), "-out", str(certificate))
    subprocess.run([*OPENSSL, *named, *files], check=True, capture_output=True)
    both.write_text(key.read_text() + certificate.read_text())
    return both


@contextmanager
def over_tls(control: ControlServer, certificate: Path) -> Iterator[int]:
    """The control server behind TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def serve(connection: socket.socket) -> None:
        secured = context.wrap_socket(connection, server_side=True)
        with secured, socket.create_connection(("127.0.0.1", control.port)) as inner:
            inner.sendall(secured.recv(65_536))
            while answer := inner.recv(65_536):
                secured.sendall(answer)

    with listening(serve) as port:
        yield port


def test_a_certificate_that_nobody_signed_is_refused_unless_it_is_named(
    control: ControlServer, certified: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`SSL_CERT_FILE` names it; the key has gone nowhere before."""
    with over_tls(control, certified) as port:
        url = f"https://127.0.0.1:{port}"
        with pytest.raises(NotNowError, match="certificate verify failed"):
            ask(url)
        assert control.requests == []
        monkeypatch.setenv("SSL_CERT_FILE", str(certified))
        assert ask(url) == 200


def test_a_proxy_of_the_environment_sees_no_key(
    control: ControlServer, certified: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked for a tunnel; a server on this machine without TLS is asked directly."""
    seen: list[bytes] = []
    with over_tls(control, certified) as port:

        def tunnel(connection: socket.socket) -> None:
            seen.append(connection.recv(65_536))
            with socket.create_connection(("127.0.0.1", port)) as inner:
                connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                back = threading.Thread(target=pipe, args=(inner, connection), daemon=True)
                back.start()
                pipe(connection, inner)

        with listening(tunnel) as proxy:
            monkeypatch.setenv("SSL_CERT_FILE", str(certified))
            monkeypatch.setenv("no_proxy", "")
            monkeypatch.setenv("https_proxy", f"http://me:pass@127.0.0.1:{proxy}")
            monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy}")
            assert ask(f"https://127.0.0.1:{port}") == 200
            assert seen[0].startswith(f"CONNECT 127.0.0.1:{port} HTTP/1.".encode())
            assert b"Proxy-Authorization: Basic " in seen[0]
            assert KEY.encode() not in b"".join(seen)
            assert ask(control.url) == 200
            assert len(seen) == 1


def pipe(source: socket.socket, target: socket.socket) -> None:
    """Hand on what comes until it ends."""
    with suppress(OSError):
        while part := source.recv(65_536):
            target.sendall(part)
