"""The endings of the smaller endpoints and of WebSockets, bare and instrumented."""

from __future__ import annotations

import pytest
from more_shapes import ENDINGS
from shape_runs import Way, facts

WAYS = [Way(ending.name, ending=ending) for ending in ENDINGS]
ONCE = (": 429", ": timeout", ": cut")
"""Endings of plain requests: `test_endpoints` has them by both clients."""
CASES = [
    pytest.param(way, kind, id=f"{kind}: {way.name}")
    for way in WAYS
    for kind in (way.kinds[:1] if way.name.endswith(ONCE) else way.kinds)
]


@pytest.mark.parametrize(("way", "kind"), CASES)
async def test_an_ending_looks_as_without_us_and_is_booked_once(way: Way, kind: str) -> None:
    """One call, one span, which is ended; no charge below the provider's.

    But for a WebSocket that is left: how long its server goes on is the machine's matter.
    """
    found = await facts(way, kind)
    assert (found.same, found.calls, found.spans) == ("yes", "1", "1")
    left_open = way.ending is not None and way.ending.socket and way.ending.interval_ms
    assert left_open or found.charge != "below"
    left = ("abandoned", "complete")
    assert found.status.startswith("unset") is any(word in found.status for word in left)
