"""A body of server-sent events, read as its bytes come, in whatever pieces.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

_BOM = b"\xef\xbb\xbf"
_DONE = b"[DONE]"


class Events:
    """Splits a body into the data of its events, each as the lines that it came in."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._data: list[bytes] = []
        self._after_cr = False
        self._begun = False
        self._done = False

    def feed(self, piece: bytes) -> Iterator[list[bytes]]:
        """The events that *piece* completes."""
        if not piece or self._done:
            return
        if self._after_cr and piece.startswith(b"\n"):
            piece = piece[1:]
        self._after_cr = piece.endswith(b"\r")
        piece = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        self._rest += piece
        if b"\n" not in piece:
            return
        *lines, rest = bytes(self._rest).split(b"\n")
        self._rest[:] = rest
        for line in lines:
            yield from self._read(line)

    def finish(self) -> Iterator[list[bytes]]:
        """What the body's end completes: an event whose blank line never came."""
        line, self._rest = bytes(self._rest), bytearray()
        yield from self._read(line)
        yield from self._read(b"")

    def _read(self, line: bytes) -> Iterator[list[bytes]]:
        if self._done:
            return
        if not self._begun:
            self._begun, line = True, line.removeprefix(_BOM)
        name, _, value = line.partition(b":")
        if name == b"data":
            self._data.append(value.removeprefix(b" "))
        elif not line and self._data:
            data, self._data = self._data, []
            self._done = data[0].startswith(_DONE)
            if not self._done:
                yield data


def values(data: Sequence[bytes]) -> list[Any]:
    """What an event's data says: one JSON value, or one a line where the blank lines are missing.

    Raises:
        ValueError: It is no JSON.
        RecursionError: It is nested too deeply.
    """
    try:
        return [json.loads(b"\n".join(data).decode())]
    except ValueError:
        if len(data) == 1:
            raise
    return [json.loads(line.decode()) for line in data if not line.startswith(_DONE)]
