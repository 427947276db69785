"""Uninstrumenting leaves every class as it was, and what was bound before does nothing."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import pytest
from lanes import Lane, make_client
from shapes import REQUEST, STREAM

import aden
from aden import Budget
from aden.instrumentation.openai import OPENAI

if TYPE_CHECKING:
    from collections.abc import Callable

    from aden.testing import OpenAIServer
    from house import House


def attributes() -> list[tuple[str, Any]]:
    """Every patched attribute, from its class itself; of what is wrapped in place, its code."""
    found = []
    for patch in (each for each in OPENAI.table if each.applies):
        *path, name = patch.name.split(".")
        owner: Any = importlib.import_module(patch.module)
        for part in path:
            owner = getattr(owner, part)
        standing = vars(owner)[name]
        found.append((patch.name, standing.__code__ if patch.in_place else standing))
    return found


def test_each_patched_attribute_is_restored_exactly(instrumented: Callable[..., House]) -> None:
    """The very objects that were there before, however often it is done."""
    before = attributes()
    for _ in range(2):
        instrumented()
        assert not [name for (name, was), (_, now) in zip(before, attributes()) if was is now]  # noqa: B905
        aden.AdenInstrumentor().uninstrument()
        assert not [
            name
            for (name, was), (_, now) in zip(before, attributes(), strict=True)
            if was is not now
        ]


def test_nothing_is_missing_in_this_version_of_the_sdk(
    instrumented: Callable[..., House],
) -> None:
    """A patch that finds nothing would leave a hole; those for older versions stand aside."""
    instrumented()
    for patch in OPENAI.table:
        importlib.import_module(patch.module)
    current = [patch for patch in OPENAI.table if patch.until is None]
    asked = {f"{patch.module}.{patch.name}" for patch in current}
    assert OPENAI.in_force.keys() == asked
    assert [name for name, stands in OPENAI.in_force.items() if not stands] == []


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_what_a_client_has_bound_passes_through_afterwards(
    kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """``with_raw_response`` is made once a client and keeps the wrapped method for good."""
    house = instrumented(budgets=[Budget("all", 0)])
    lane = Lane(kind, server)
    raw, streaming = lane.chat.with_raw_response, lane.chat.with_streaming_response
    bound = lane.chat.create
    with pytest.raises(aden.RequestCancelledError):
        await lane.get(raw.create(**REQUEST))
    ledger = house.ledger
    aden.AdenInstrumentor().uninstrument()
    assert (await lane.get(bound(**REQUEST))).usage.completion_tokens == 12
    assert (await lane.get(raw.create(**REQUEST))).parse().usage.completion_tokens == 12
    async with lane.within(streaming.create(**REQUEST)) as response:
        assert (await lane.get(response.parse())).usage.completion_tokens == 12
    chunks = await lane.all((await lane.get(raw.create(**STREAM))).parse())
    assert len(chunks) == 14
    assert len(list(ledger.journal())) == 1


def test_a_stream_that_is_open_meanwhile_is_settled_by_the_house_that_opened_it(
    server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """Its spend is booked where its hold stands."""
    house = instrumented()
    stream = make_client("sync", server).chat.completions.create(**STREAM)
    ledger, budget = house.ledger, house.meter.policy().budgets[0]
    aden.AdenInstrumentor().uninstrument()
    list(stream)
    (balance,) = ledger.balances([("all", budget.span)])
    assert (balance.held, balance.spent) == (0, server.bill.total_nano_usd)
