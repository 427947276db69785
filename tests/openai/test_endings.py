"""The endings of the smaller endpoints and of WebSockets, bare and instrumented."""

from __future__ import annotations

import pytest
from more_shapes import ENDINGS, UNNOTICED
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

    But for those whose server may notice late that nobody listens.
    """
    found = await facts(way, kind)
    assert (found.same, found.calls, found.spans) == ("yes", "1", "1")
    assert way.name in UNNOTICED or found.charge != "below"
    left = ("abandoned", "complete")
    assert found.status.startswith("unset") is any(word in found.status for word in left)
