"""Half a character of a provider's costs no telemetry."""

from __future__ import annotations

import pytest

from aden.telemetry.characters import whole


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("café \U0001f600", "café \U0001f600"),
        ("\ud83d\ude00", "\U0001f600"),
        ("half \ud83d", "half \ufffd"),
    ],
)
def test_halves_are_joined_or_replaced(text: str, shown: str) -> None:
    """Streams cut a character in two where a server counts in UTF-16."""
    assert whole(text) == shown
