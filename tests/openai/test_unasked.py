"""What is taken out of a stream's bytes, and what is not."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aden.instrumentation.openai.unasked import Unasked

WORDS = [{"index": 0, "delta": {"content": 'Say "usage": null, ,"usage":null'}}]
CHUNK: dict[str, Any] = {"id": "a", "choices": WORDS}
USAGE: dict[str, Any] = {"id": "a", "choices": [], "usage": {"prompt_tokens": 3}}


def body(chunks: list[dict[str, Any]], end: str, separators: tuple[str, str]) -> bytes:
    """A stream as a server writes it."""
    said = [f"data: {json.dumps(chunk, separators=separators)}{end}" for chunk in chunks]
    return "".join([*said, f"data: [DONE]{end}"]).encode()


@given(
    cuts=st.lists(st.integers(0, 400), max_size=8),
    end=st.sampled_from(["\n\n", "\r\n\r\n", "\r\r"]),
    separators=st.sampled_from([(",", ":"), (", ", ": ")]),
)
def test_only_the_usage_goes_however_the_bytes_come(
    cuts: list[int], end: str, separators: tuple[str, str]
) -> None:
    """What is left is what a server writes that is not asked for usage, byte by byte."""
    asked = body([{**CHUNK, "usage": None}, {**CHUNK, "usage": None}, USAGE], end, separators)
    unasked, places = Unasked(), sorted({0, *(min(cut, len(asked)) for cut in cuts), len(asked)})
    pieces = [asked[a:b] for a, b in itertools.pairwise(places)]
    shown = b"".join(unasked.shown(piece) for piece in pieces) + unasked.rest()
    assert shown == body([CHUNK, CHUNK], end, separators)


@pytest.mark.parametrize(
    "data",
    [
        b'data: {"choices": [{"delta": {}}], "usage": {"prompt_tokens": 3}}\n\n',
        b'data: {"usage": broken\n\n',
        b'event: ping\nid: "usage"\n\n',
        b'{"choices": [], "usage": {"prompt_tokens": 3}}',
        b'data: "usage"\n\n',
    ],
)
def test_what_is_no_event_of_usage_alone_stays(data: bytes) -> None:
    """Usage beside words, what cannot be read, and what is no event."""
    unasked = Unasked()
    assert unasked.shown(data) + unasked.rest() == data
