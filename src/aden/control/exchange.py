"""One HTTP exchange at a time with an Aden server: bounded in time and size, never redirected.

Python's own client, because instrumented ones would make a span of each poll, and because the
others send the key along where a server redirects to.
"""

import base64
import contextlib
import http.client
import socket
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import MAXYEAR
from email.utils import parsedate_to_datetime
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from aden.control.server import Server

CONNECT_S = 5.0
ANSWER_S = 10.0
"""How long an exchange may take from its first byte to its last."""


class NotNowError(Exception):
    """The server did not answer, or did not do what it was asked. Its text has no secrets."""

    def __init__(self, why: str, retry_after_s: float | None = None) -> None:
        super().__init__(why)
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server answered."""

    status: int
    body: bytes
    etag: str | None
    at: float | None
    """The server's clock, unix seconds; None where it does not say."""
    retry_after_s: float | None


class Exchange:
    """A connection that is kept between requests. For one thread."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._connection: http.client.HTTPConnection | None = None
        self._cut = False

    def ask(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes | None = None,
        *,
        most: int = 1_000_000,
        within_s: float = ANSWER_S,
    ) -> Answer:
        """Send a request and read its answer.

        Args:
            method: ``GET`` or ``POST``.
            path: Of the endpoint, such as ``/v1/control/policy``.
            headers: All that are to be sent.
            body: JSON.
            most: Bytes that the answer's body may have.
            within_s: Seconds that all of it may take.

        Raises:
            NotNowError: There is no answer, or it is too large or no HTTP.
        """
        kept = self._connection is not None
        try:
            try:
                return self._ask(method, path, headers, body, most, within_s)
            except (ConnectionError, http.client.RemoteDisconnected):
                if not kept or self._cut:  # a kept connection may have ended meanwhile
                    raise
                self.close()
                return self._ask(method, path, headers, body, most, within_s)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            why = f"no answer within {within_s:g} s" if self._cut else _words(error)
            raise NotNowError(self._server.masked(why)) from None
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.close()

    def _ask(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes | None,
        most: int,
        within_s: float,
    ) -> Answer:
        self._cut = False
        if self._connection is None:
            self._connection = _connect(self._server)
        connection = self._connection
        # A time-out counts for each read anew; a server that sends a byte a second never meets it.
        guard = threading.Timer(within_s, self._hang_up, (connection,))
        guard.daemon = True
        guard.start()
        try:
            connection.request(method, self._server.path + path, body, dict(headers))
            response = connection.getresponse()
            read = response.read(most + 1)
        finally:
            guard.cancel()
        if self._cut:
            raise TimeoutError
        if len(read) > most:
            raise ValueError(f"the answer has more than {most} bytes")
        if response.will_close or not response.isclosed():
            self.close()
        return Answer(
            response.status,
            read,
            response.headers.get("ETag"),
            _date(response.headers.get("Date")),
            _seconds(response.headers.get("Retry-After")),
        )

    def _hang_up(self, connection: http.client.HTTPConnection) -> None:
        self._cut = True
        if connection.sock is not None:
            with contextlib.suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)


def answered(path: str, status: int) -> str:
    """What a status means that is no success, and what to do about it."""
    hint = {
        401: "the key is refused; check ADEN_API_KEY",
        403: "the key has no right to it; check ADEN_API_KEY",
        404: "it is not there; check ADEN_API_URL and ADEN_POLICY_ID",
        429: "too many requests",
    }.get(status)
    if 300 <= status < 400:
        hint = "redirects are not followed, as the key would go along; check ADEN_API_URL"
    return f"{path} answered {status}" + (f" ({hint})" if hint else "")


def _connect(server: Server) -> http.client.HTTPConnection:
    """A connection that is not open yet; over the environment's proxy, which sees no key."""
    if server.scheme == "http":  # to this machine: `check_server` refuses others
        return http.client.HTTPConnection(server.host, server.port, timeout=CONNECT_S)
    context = ssl.create_default_context()
    proxy = None if proxy_bypass(server.host) else getproxies().get("https")
    if not proxy:
        return http.client.HTTPSConnection(
            server.host, server.port, timeout=CONNECT_S, context=context
        )
    parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError("the https proxy of the environment is no http:// URL")
    headers = {}
    if parts.username is not None:
        user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Proxy-Authorization"] = f"Basic {base64.b64encode(user.encode()).decode()}"
    connection = http.client.HTTPSConnection(
        parts.hostname, parts.port or 80, timeout=CONNECT_S, context=context
    )
    connection.set_tunnel(server.host, server.port, headers)
    return connection


def _words(error: Exception) -> str:
    """What happened, for people."""
    if isinstance(error, TimeoutError):
        return f"no answer within {CONNECT_S:g} s"
    return f"{type(error).__name__}: {error}"


def _date(text: str | None) -> float | None:
    try:
        at = parsedate_to_datetime(text) if text else None
        return at.timestamp() if at is not None and at.year < MAXYEAR else None  # months end in it
    except (ValueError, OverflowError):
        return None


def _seconds(text: str | None) -> float | None:
    if text is None or not text.isascii() or not text.isdigit():
        return None
    return min(float(text[:9]), 3600.0)
