"""What is taken out of a stream's bytes, and what is not."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aden.instrumentation.openai.usage_hidden import MAX_HELD_BYTES, HiddenUsage

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
    hidden, places = HiddenUsage(), sorted({0, *(min(cut, len(asked)) for cut in cuts), len(asked)})
    pieces = [asked[a:b] for a, b in itertools.pairwise(places)]
    shown = b"".join(hidden.shown(piece) for piece in pieces) + hidden.rest()
    assert shown == body([CHUNK, CHUNK], end, separators)


def test_a_body_without_events_is_not_held_back() -> None:
    """It is passed on once it is longer than an event of usage can be."""
    hidden = HiddenUsage()
    piece = b"x" * (MAX_HELD_BYTES // 2 + 1)
    assert [hidden.shown(piece), hidden.shown(piece)] == [b"", 2 * piece]
    assert hidden.rest() == b""


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
    hidden = HiddenUsage()
    assert hidden.shown(data) + hidden.rest() == data
