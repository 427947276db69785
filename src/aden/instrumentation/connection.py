"""The connection under an HTTP response, as far as its transport lets it be seen."""

import os
import socket
import struct
from typing import Any, NamedTuple

ON_THE_WAY_S = 0.010
"""For so long, at least, a distant provider generates on before it notices that nobody listens."""
NEAR_S = 0.001
"""A peer with a shorter round trip is on this machine or network, and notices at once."""
LOOK_BYTES = 262_144


class Peer(NamedTuple):
    """Who sends a stream."""

    is_secret: bool
    """Whether what waits in the socket cannot be read there."""
    goes_on_s: float
    """For how long it goes on after this end was closed."""


UNKNOWN = Peer(True, ON_THE_WAY_S)


class Connection:
    """What httpx, through httpcore or aiohttp, reads a response from.

    Each question is answered by what is found; of a transport that is not known, by nothing.
    """

    def __init__(self, response: Any) -> None:
        self._protocol: Any = None
        self._reader: Any = None
        self._line = response.extensions.get("network_stream")
        if self._line is not None:
            self._protocol = _h11_under(response.stream)
        elif (under := _aiohttp_under(response.stream)) is not None:
            self._reader = under.content
            self._line = getattr(under.connection, "transport", None)

    @property
    def descriptor(self) -> int | None:
        """Of its socket; None where there is none any more."""
        try:
            descriptor = self._line.get_extra_info("socket").fileno()
        except Exception:
            return None
        return descriptor if isinstance(descriptor, int) and descriptor >= 0 else None

    @property
    def peer(self) -> Peer:
        """Who is at its other end."""
        return Peer(_is_tls(self._line), _on_the_way_s(self._line))

    @property
    def received(self) -> bytes:
        """What came in and nobody has asked for yet."""
        try:
            if self._reader is not None:
                return b"".join(self._reader._buffer)
            return bytes(self._protocol.trailing_data[0])
        except Exception:
            return b""

    @property
    def taken_in(self) -> bytes:
        """What the event loop took out of the socket for a reader, as it came over the wire.

        Under httpcore anyio keeps it, until its reader wakes; one that is cancelled before never
        reads it.
        """
        try:
            return b"".join(_anyio_under(self._line)._protocol.read_queue)
        except Exception:
            return b""


def unread(descriptor: int | None) -> bytes:
    """What is in a socket's receive buffer, and stays there; nothing where that cannot be told."""
    if descriptor is None:
        return b""
    try:
        with socket.socket(fileno=os.dup(descriptor)) as looking:
            return looking.recv(LOOK_BYTES, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except (AttributeError, OSError):  # Windows; nothing there, closed
        return b""


def _h11_under(stream: Any) -> Any:
    """The h11 connection that a response is read by, through httpx and httpcore; None without."""
    for name in ("_stream", "_httpcore_stream", "_stream", "_connection", "_h11_state"):
        stream = getattr(stream, name, None)
    return stream


def _anyio_under(line: Any) -> Any:
    """The stream of anyio on a socket itself, through httpcore's and TLS; None without."""
    stream = getattr(line, "_stream", None)
    return getattr(stream, "transport_stream", stream)


def _aiohttp_under(stream: Any) -> Any:
    """Aiohttp's response under httpx's; None without."""
    return getattr(getattr(stream, "_stream", None), "_aiohttp_response", None)


_TCP_MIN_RTT = struct.Struct("148xI")
"""``tcpi_min_rtt``, microseconds, in Linux' ``struct tcp_info`` (linux/tcp.h)."""


def _on_the_way_s(connection: Any) -> float:
    """For how long a peer goes on after this end was closed: a round trip, as the system knows it.

    The shortest that was seen: others have the peer's own time in them. It may end at a proxy, so
    of a distant peer it is never taken for shorter than `ON_THE_WAY_S`; so it is where no system
    tells.
    """
    try:
        told = connection.get_extra_info("socket").getsockopt(
            socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_MIN_RTT.size
        )
        (round_trip_us,) = _TCP_MIN_RTT.unpack(told)
    except Exception:  # another system, no socket, closed
        return ON_THE_WAY_S
    round_trip_s = round_trip_us / 1e6
    if round_trip_s < NEAR_S:
        return 0.0
    return max(ON_THE_WAY_S, round_trip_s) if round_trip_us != _NEVER_SEEN else ON_THE_WAY_S


_NEVER_SEEN = 0xFFFFFFFF


def _is_tls(connection: Any) -> bool:
    """Whether what waits in the socket cannot be read."""
    try:
        return connection.get_extra_info("ssl_object") is not None
    except Exception:
        return True
