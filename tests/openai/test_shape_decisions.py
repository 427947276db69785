"""Every shape that has a model, refused, degraded and throttled."""

from __future__ import annotations

import pytest
from shape_runs import DECIDED, KINDS, decided
from shape_table import Shape

CASES = [
    pytest.param(shape, kind, id=f"{kind}: {shape.api}, {shape.name}")
    for number, shape in enumerate(DECIDED)
    for kind in KINDS
    if shape.only_async or kind == KINDS[number % 2]
]
"""Each by one client; the other one's are on the page of the documentation."""


@pytest.mark.parametrize(("shape", "kind"), CASES)
async def test_each_shape_obeys_what_is_decided(shape: Shape, kind: str) -> None:
    """A refusal sends nothing; else the program sees what it sees without us, of the model sent."""
    assert await decided(shape, kind) == {
        "refused": "raised, nothing sent",
        "degraded": "same value",
        "throttled": "same value",
        "degrade refused": "asked model sent, same value",
    }
