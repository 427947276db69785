"""Whether a request that failed has left at all: what no provider has seen, none bills."""

from traceback import walk_tb
from types import FrameType

_NEVER_SENT = frozenset(
    {
        "ClientConnectorError",
        "ClientConnectorDNSError",
        "ConnectError",
        "ConnectTimeout",
        "ConnectionRefusedError",
        "InvalidURL",
        "LocalProtocolError",
        "PoolTimeout",
        "ProxyError",
        "UnsupportedProtocol",
    }
)
"""Transport errors after which the provider cannot have seen the request (aiohttp's, httpx's)."""


def was_never_sent(error: BaseException) -> bool:
    """Whether the transport's *error* came before the request left."""
    return type(error).__name__ in _NEVER_SENT or _was_connecting(error)


def _was_connecting(error: BaseException | None) -> bool:
    """Whether it ended while a connection was waited for or made, if through a proxy."""
    while error is not None:
        if any(_connects(frame) for frame, _ in walk_tb(error.__traceback__)):
            return True
        error = error.__cause__
    return False


def _connects(frame: FrameType) -> bool:
    """By the names of aiohttp and httpcore."""
    module = frame.f_globals.get("__name__", "")
    if not module.startswith("httpcore"):
        return bool(module == "aiohttp.connector")
    if frame.f_code.co_name in ("wait_for_connection", "_connect"):
        return True
    owner = frame.f_locals.get("self")
    tunnels = type(owner).__name__.endswith("TunnelHTTPConnection")
    return tunnels and getattr(owner, "_connected", True) is False
