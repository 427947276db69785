"""A process that answers calls for days holds no more than one that has just begun."""

import asyncio
import gc
import weakref
from collections import Counter
from pathlib import Path
from typing import Any

from lane_kit import INSTRUCTIONS, Lane
from livekit.agents import Agent, AgentSession, llm, tts
from telephone import Earpiece, Voice

from aden import Budget

TURNS = 20


async def test_a_turn_leaves_nothing_of_ours_behind(lane: Lane, tmp_path: Path) -> None:
    """As many objects of Aden's after forty turns as after twenty; the records are the test's."""
    ledger = f"sqlite://{tmp_path / 'ledger.db'}"
    with lane.instrumented(budgets=[Budget("calls", "10")], ledger=ledger):
        await _talk(lane)
        before = _alive()
        await _talk(lane)
        grown = {name: count - before[name] for name, count in _alive().items()}
        assert len(lane.records) == 2 * TURNS
    assert {name: more for name, more in grown.items() if more >= TURNS // 2} == {}


async def test_what_livekit_frees_at_once_is_freed_at_once(lane: Lane) -> None:
    """A stream holds its turn's whole context; a full collection stops every call of a process."""
    with lane.instrumented(budgets=[Budget("calls", "10")]):
        session: AgentSession[None] = AgentSession(llm=lane.llm(), tts=Voice())
        session.output.audio = Earpiece()
        await session.start(Agent(instructions=INSTRUCTIONS))
        await session.run(user_input="Hello.")
        gc.collect()
        others = weakref.WeakSet(_streams())
        gc.disable()
        try:
            for _ in range(3):
                await session.run(user_input="Hello.")
            for _ in range(100):  # the loop is about to let go of it
                if not (left := sum(each not in others for each in _streams())):
                    break
                await asyncio.sleep(0.05)
            assert not left
        finally:
            gc.enable()
            await session.aclose()


def _streams() -> list[Any]:
    kinds = (llm.LLMStream, tts.ChunkedStream)
    return [each for each in gc.get_objects() if isinstance(each, kinds)]


async def _talk(lane: Lane) -> None:
    async with lane.session() as session:
        for turn in range(TURNS):
            await session.run(user_input=f"Answer in {20 + turn} tokens, please.")
    lane.exporter.clear()


def _alive() -> Counter[str]:
    """Objects by class; but for what records are made of, and what the local provider keeps."""
    gc.collect()
    names = (f"{type(each).__module__}.{type(each).__qualname__}" for each in gc.get_objects())
    return Counter(
        name
        for name in names
        if name.startswith("aden.") and not name.startswith(("aden.core.", "aden.testing."))
    )
