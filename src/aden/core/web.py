"""Base URLs of an Aden server, which people also write as its WebSocket's."""

_HTTP = {"ws": "http", "wss": "https"}


def http_scheme(scheme: str) -> str:
    """The scheme of HTTP at the same place as that of a WebSocket; others are as they are."""
    return _HTTP.get(scheme, scheme)
