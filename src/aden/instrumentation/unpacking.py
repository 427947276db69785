"""A compressed body, read along as its bytes come in, by the decoders of the HTTP library itself.

So it knows what that one knows: Brotli and Zstandard where they are installed, and several in turn.
"""

from collections.abc import Callable
from typing import Any

Unpack = Callable[[bytes], bytes]


def unpacking(response: Any) -> Unpack | None:
    """What unpacks the pieces of a response's body; None where they are not compressed."""
    encoding = response.headers.get("content-encoding")
    if encoding is None or encoding.strip().lower() in ("", "identity"):
        return None
    return _Unpacking(type(response)(200, headers={"content-encoding": encoding}))


class _Unpacking:
    """From an error on, nothing more; whoever reads the body is told by the library."""

    __slots__ = ("_decoder",)

    def __init__(self, blank: Any) -> None:
        """*blank*: a response with the same encoding; a decoder is for one reader only."""
        make = getattr(blank, "_get_content_decoder", None)  # httpx2 2.16, httpx 0.28
        self._decoder = make() if make is not None else None

    def __call__(self, data: bytes) -> bytes:
        if self._decoder is None:
            return b""
        try:
            unpacked = self._decoder.decode(data)  # httpx2 gives pieces, httpx all of it
            return unpacked if isinstance(unpacked, bytes) else b"".join(unpacked)
        except Exception:
            self._decoder = None
            return b""
