"""What a stream's provider has sent and nobody has read: it is generated, so it is billed."""

import contextlib
import math
import os
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import wrapt

ON_THE_WAY_S = 0.010
"""For so long a provider generates on before it notices that nobody listens any more."""
SHORTEST_S = 0.020
"""A rate is not told from less: what was held up somewhere arrives at once."""

LIKELY_EVENT_BYTES = 250
"""Of a stream that nobody has begun to read; a chunk of chat completions has 250 to 350."""
FULL_BYTES = 16_384
"""From here on small packets may fill a receive buffer, and more waits at the provider's side."""

_EVENT, _DONE = b"data:", b"data: [DONE]"


class Arrivals:
    """Counts a stream's events as their bytes come in, ahead of whoever reads them."""

    def __init__(self, response: Any) -> None:
        self._events = 0
        self._bytes = 0
        self._first_at = 0.0
        self._done = False
        self._made = 0
        self._rate = 0.0
        self._looked_at: float | None = None
        # Not the response: it refers to us, and a cycle would delay the end of its connection.
        self._connection = response.extensions.get("network_stream")
        self._protocol = _protocol_under(response.stream)
        if not response.is_closed and not response.headers.get("content-encoding"):
            response.stream = _Counted(response.stream, self)

    def saw(self, data: bytes) -> None:
        """The transport has read a piece of the body."""
        if not self._bytes:
            self._first_at = time.perf_counter()
        self._bytes += len(data)
        self._events += data.count(_EVENT)
        self._done = self._done or _DONE in data

    @property
    def made(self) -> int:
        """Events that the provider has made until it noticed that nobody listens any more.

        Those that were read are counted, those that wait in the socket and behind it are told by
        their size, and those on their way by the rate so far.
        """
        made = max(self._events, self._made)
        if self._done or self._looked_at is None:
            return made
        return made + math.ceil(self._rate * ON_THE_WAY_S)

    def look(self) -> None:
        """Note what waits in the socket now. Never waits."""
        self._note(_descriptor(self._connection))

    @contextlib.contextmanager
    def closing(self) -> Iterator[None]:
        """Around the closing of the connection, for which a busy event loop may take its time.

        The provider goes on meanwhile, so a second descriptor looks once more when it is closed.
        """
        first = _descriptor(self._connection)
        self._note(first)
        second = None
        with contextlib.suppress(OSError):  # as many files are open as there may be
            second = os.dup(first) if first is not None else None
        try:
            yield
        finally:
            self._note(second)
            if second is not None:
                os.close(second)

    def _note(self, descriptor: int | None) -> None:
        now = time.perf_counter()
        before, since = self._made, self._looked_at
        if since is None:
            before, since = 0, self._first_at or now
        received = _undecoded(self._protocol)
        self._done = self._done or _DONE in received
        held_up = _unread_bytes(descriptor)
        waiting = received.count(_EVENT) + int(held_up / self._event_bytes)
        self._made = self._events + waiting
        if held_up > FULL_BYTES:
            self._made = max(self._made, before + int(self._rate * (now - since)))
        self._rate = max(self._rate, (self._made - before) / max(SHORTEST_S, now - since))
        self._looked_at = now

    @property
    def _event_bytes(self) -> float:
        return self._bytes / self._events if self._events else LIKELY_EVENT_BYTES


class _Counted(wrapt.ObjectProxy):  # type: ignore[type-arg]
    """A response's byte stream: the same bytes at the same time, counted as they pass."""

    def __init__(self, stream: Any, arrivals: Arrivals) -> None:
        super().__init__(stream)
        self._self_arrivals = arrivals

    def __iter__(self) -> Iterator[bytes]:
        for data in self.__wrapped__:
            self._self_arrivals.saw(data)
            yield data

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for data in self.__wrapped__:
            self._self_arrivals.saw(data)
            yield data


def _protocol_under(stream: Any) -> Any:
    """The h11 connection that a response is read by, through httpx and httpcore; None without."""
    for name in ("_stream", "_httpcore_stream", "_stream", "_connection", "_h11_state"):
        stream = getattr(stream, name, None)
    return stream


def _undecoded(protocol: Any) -> bytes:
    """What was received and nobody has asked the protocol for."""
    try:
        return bytes(protocol.trailing_data[0])
    except Exception:
        return b""


def _descriptor(connection: Any) -> int | None:
    """Of the socket under a connection; None where there is none any more."""
    try:
        descriptor = connection.get_extra_info("socket").fileno()
    except Exception:
        return None
    return descriptor if isinstance(descriptor, int) and descriptor >= 0 else None


def _unread_bytes(descriptor: int | None) -> int:
    """Bytes in a socket's receive buffer; 0 where that cannot be told (Windows, closed)."""
    if descriptor is None:
        return 0
    try:
        import fcntl
        import struct
        import termios

        found = fcntl.ioctl(descriptor, termios.FIONREAD, struct.pack("i", 0))
        return int(struct.unpack("i", found)[0])
    except (ImportError, OSError):
        return 0
