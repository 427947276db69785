"""What a stream's provider has sent and nobody has read: it is generated, so it is billed."""

import contextlib
import math
import os
import socket
import sys
import time
import weakref
from collections.abc import AsyncIterator, Iterator
from typing import Any

import wrapt

from aden.instrumentation.aside import aside, unfollowed
from aden.instrumentation.connection import UNKNOWN, Connection, unread
from aden.instrumentation.unpacking import unpacking

SHORTEST_S = 0.020
"""A rate is not told from less: what was held up somewhere arrives at once."""
CLOSING_S = 0.5
"""For so long what was let go may wait for its closing: whoever is at it may be held up, by a busy
machine or event loop, while the provider goes on. Only what nobody closes is booked as late."""
LOOK_S = 0.002

LIKELY_EVENT_BYTES = 250
"""Of a stream that nobody has begun to read; a chunk of chat completions has 250 to 350."""
LIKELY_PACKED_BYTES = 25
"""The same where each is compressed as it comes; what repeats in it takes hardly any place."""
CHUNK_BYTES = 7
"""More of each event on the wire: its HTTP chunk's size."""
TLS_EVENT_BYTES = CHUNK_BYTES + 22
"""The same under TLS: also the record around it (RFC 8446)."""
PEER_AT_PIECE = 3
"""When to ask what the peer is: after the first token, which waits for nothing; when the stream is
cut, its socket may be closed."""
FULL_BYTES = 16_384
"""From here on small packets may fill a receive buffer, and more waits at the provider's side."""

_EVENT, _DONE = b"data:", b"data: [DONE]"


class Arrivals:
    """Counts a stream's events as their bytes come in, ahead of whoever reads them."""

    def __init__(self, response: Any) -> None:
        self._kept: list[int] = []
        self._pieces = 0
        self._events = 0
        self._bytes = 0
        self._opening = (0, 0)
        self._first_at = 0.0
        self._done = False
        self._made = 0
        self._rate = 0.0
        self._looked_at: float | None = None
        # Not the response: it refers to us, and a cycle would delay the end of its connection.
        self._connection = Connection(response)
        self._peer = UNKNOWN
        self._unpack = unpacking(response)
        if response.is_closed:  # a hook of the HTTP client has read it in whole
            self._events, self._done = getattr(response, "_content", b"").count(_EVENT), True
        else:
            response.stream = counted = _Counted(response.stream, self)
            weakref.finalize(counted, self.let_go).atexit = False

    def __del__(self) -> None:
        self.ended()

    def saw(self, data: bytes) -> None:
        """The transport has read a piece of the body."""
        self._pieces += 1
        self._bytes += len(data)
        if self._unpack is not None:
            data = self._unpack(data)
        self._events += data.count(_EVENT)
        self._done = self._done or _DONE in data
        if self._pieces == 1:
            self._first_at = time.perf_counter()
            self._opening = self._events, self._bytes
        elif self._pieces == PEER_AT_PIECE:
            self._peer = self._connection.peer
            self._keep(self._connection.descriptor)

    @property
    def made(self) -> int:
        """Events that the provider has made until it noticed that nobody listens any more.

        Those that were read are counted, and those that wait in the socket and behind it; under TLS
        and where they are compressed, these are told by their size, and what is made during a
        round trip by the rate so far.
        """
        self.closed()
        made = max(self._events, self._made)
        if self._done or self._looked_at is None:
            return made
        return made + math.ceil(self._rate * self._peer.goes_on_s)

    @property
    def goes_on(self) -> bool:
        """Whether the provider, as far as is known, is still at it: nobody has hung up."""
        return not self._done and self._connection.descriptor is not None

    def look(self) -> None:
        """Note what waits in the socket now. Never waits."""
        self._note(self._connection.descriptor)

    def hang_up(self) -> None:
        """End the connection, of which nobody reads any more. Never waits."""
        descriptor = self._connection.descriptor
        if descriptor is not None:
            self.let_go()
            try:
                with socket.socket(fileno=os.dup(descriptor)) as line:
                    line.shutdown(socket.SHUT_RDWR)
            finally:
                self.closed()

    def let_go(self) -> None:
        """Look before the connection is closed, and keep a descriptor to look again when it is.

        A busy event loop may take its time to close it, and the provider goes on until both are
        closed. Called by the garbage collector too, ahead of all finalizers: one of them closes
        the connection, and which comes first is not known.
        """
        if self._done:
            return
        descriptor = self._connection.descriptor
        self._note(descriptor)
        self._keep(descriptor)

    def _keep(self, descriptor: int | None) -> None:
        """Keep one of our own, to look after the other was closed.

        From early on, for a task that is cancelled while it reads has its connection closed below
        us: what came in between, and until we hear of it, is seen all the same.
        """
        if descriptor is not None and not self._kept:
            with contextlib.suppress(OSError):  # as many files are open as there may be
                self._kept.append(os.dup(descriptor))

    def wait_for_closing(self) -> None:
        """Block until what was let go is closed, by a collector that is at it or by its loop."""
        until = (self._looked_at or 0.0) + CLOSING_S
        while self.goes_on and time.perf_counter() < until:
            time.sleep(LOOK_S)

    def ended(self) -> None:
        """Nobody asks any more what was made."""
        self._done = True
        for descriptor in self._taken_back():
            os.close(descriptor)

    def closed(self) -> None:
        """The connection is closed: look at what was kept of it."""
        for descriptor in self._taken_back():
            if not self._done:  # else the connection may be another answer's by now
                self._note(descriptor)
            os.close(descriptor)

    def _taken_back(self) -> Iterator[int]:
        """Each once, whichever thread asks."""
        with contextlib.suppress(IndexError):
            while True:
                yield self._kept.pop()

    def _note(self, descriptor: int | None) -> None:
        if descriptor is None and self._looked_at is not None:
            return  # closed: what waited there was counted before
        now = time.perf_counter()
        if self._peer is UNKNOWN:
            self._peer = self._connection.peer
        before, since = self._made, self._looked_at
        if since is None:
            before, since = 0, self._first_at or now
        received, taken_in = self._connection.received, self._connection.taken_in
        held_up = unread(descriptor)
        on_the_wire = taken_in + held_up
        self._done = self._done or _DONE in received or _DONE in on_the_wire
        self._made = self._events + self._waiting(received, on_the_wire)
        if len(held_up) > FULL_BYTES:
            self._made = max(self._made, before + int(self._rate * (now - since)))
        self._rate = max(self._rate, (self._made - before) / max(SHORTEST_S, now - since))
        self._looked_at = now

    def _waiting(self, received: bytes, on_the_wire: bytes) -> int:
        """Events in what was received and in what comes before that, as far as it can be read."""
        around = TLS_EVENT_BYTES if self._peer.is_secret else CHUNK_BYTES
        if self._unpack is not None:
            return round(len(received + on_the_wire) / (self._event_bytes + around))
        if self._peer.is_secret:
            return received.count(_EVENT) + round(len(on_the_wire) / (self._event_bytes + around))
        return received.count(_EVENT) + on_the_wire.count(_EVENT)

    @property
    def _event_bytes(self) -> float:
        """Of a piece of the answer; what opens it may be longer."""
        events, size = self._events - self._opening[0], self._bytes - self._opening[1]
        if events:
            return size / events
        if self._events:
            return self._bytes / self._events
        return LIKELY_EVENT_BYTES if self._unpack is None else LIKELY_PACKED_BYTES


class _Counted(wrapt.ObjectProxy):  # type: ignore[type-arg]
    """A response's byte stream: the same bytes at the same time, counted as they pass."""

    def __init__(self, stream: Any, arrivals: Arrivals) -> None:
        super().__init__(stream)
        self._self_arrivals = arrivals

    def __iter__(self) -> Iterator[bytes]:
        for data in self.__wrapped__:
            try:
                self._self_arrivals.saw(data)
            except Exception as error:
                unfollowed(error)
            yield data

    def __aiter__(self) -> AsyncIterator[bytes]:
        pieces: AsyncIterator[bytes] = self.__wrapped__.__aiter__()
        try:
            return _CountedPieces(pieces, self._self_arrivals)
        except Exception as error:
            unfollowed(error)
            return pieces

    def close(self) -> None:
        """Whoever closes it, the garbage collector too, which may come here before our own."""
        aside(self._self_arrivals.let_go)
        try:
            # While the interpreter winds down, the HTTP library's closing makes a timedelta, of
            # which Python 3.13 dies (gh-132413); the process's end closes the connection anyway.
            if not sys.is_finalizing():
                self.__wrapped__.close()
        finally:
            aside(self._self_arrivals.closed)

    async def aclose(self) -> None:
        """`close`, awaiting."""
        aside(self._self_arrivals.let_go)
        try:
            await self.__wrapped__.aclose()
        finally:
            aside(self._self_arrivals.closed)


class _CountedPieces:
    """No generator: one more to be finalized by the event loop may be met while it runs."""

    __slots__ = ("_arrivals", "_pieces")

    def __init__(self, pieces: AsyncIterator[bytes], arrivals: Arrivals) -> None:
        self._pieces = pieces
        self._arrivals = arrivals

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        data = await self._pieces.__anext__()
        try:
            self._arrivals.saw(data)
        except Exception as error:
            unfollowed(error)
        return data
