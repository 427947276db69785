"""How long an uploaded sound is, without reading or moving the caller's file."""

import io
import os
from typing import Any

BYTES_PER_S = 4000
"""Of compressed speech, at 32 kbit/s; what is denser is held for longer than it is."""
HEAD_BYTES = 4096


def duration(file: Any) -> tuple[float, bool]:
    """(seconds, whether that is exact) of a file as the SDK takes it.

    A WAV says it itself; of anything else its size is a guess, and of what has none there is none.
    """
    content = file[1] if isinstance(file, tuple) and len(file) > 1 else file
    head, size = _peek(content)
    if (seconds := _wav_seconds(head, size)) is not None:
        return seconds, True
    return size / BYTES_PER_S, False


def _peek(content: Any) -> tuple[bytes, int]:
    """(its first bytes, its size); the position of a file does not change."""
    if isinstance(content, bytes | bytearray):
        return bytes(content[:HEAD_BYTES]), len(content)
    if isinstance(content, io.BytesIO):
        with content.getbuffer() as buffer:
            return bytes(buffer[:HEAD_BYTES]), buffer.nbytes
    try:
        descriptor = content.fileno()
        size = os.fstat(descriptor).st_size
        head = os.pread(descriptor, HEAD_BYTES, 0) if hasattr(os, "pread") else b""
    except (AttributeError, OSError, ValueError, TypeError):
        return b"", 0
    return head, size


def _wav_seconds(head: bytes, size: int) -> float | None:
    """By the byte rate and the data's size (http://soundfile.sapp.org/doc/WaveFormat)."""
    if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
        return None
    rate, at = 0, 12
    while at + 8 <= len(head):
        kind, length = head[at : at + 4], int.from_bytes(head[at + 4 : at + 8], "little")
        if kind == b"fmt ":
            rate = int.from_bytes(head[at + 16 : at + 20], "little")
        elif kind == b"data":
            left = max(size - at - 8, 0)
            # Written while it was made, a WAV does not know its length.
            return min(length or left, left) / rate if rate else None
        at += 8 + length + length % 2
    return None
